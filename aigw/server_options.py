"""The options of the daemon itself: where it listens, its store, its logs and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.option import Option

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "Server"
LOGGING = "Logging"
METRICS = "Metrics"


def _default_database() -> Path:
    from platformdirs import user_data_path  # noqa: PLC0415 - only a few commands need it

    return user_data_path("aigw", appauthor=False) / "aigw.db"


SERVER_OPTIONS: tuple[Option, ...] = (
    Option(
        name="http_address",
        kind="address",
        group=SERVER,
        help="Address to listen on, HOST:PORT. Port 0 takes any free port. An address that other "
        "machines can reach needs gateway keys: make one with `aigw keys create` first.",
        flag="--http-address",
        variable="CODER_HTTP_ADDRESS",
        variable_aliases=("CODER_AI_GATEWAY_HTTP_ADDRESS",),
        key="networking.http.http_address",
        key_aliases=("networking.http.httpAddress",),
        default="127.0.0.1:4001",
    ),
    Option(
        name="tls_cert_file",
        kind="path",
        group=SERVER,
        help="Certificate chain in PEM that the listener shows. With it the gateway speaks HTTPS.",
        flag="--tls-cert-file",
        variable="CODER_TLS_CERT_FILE",
        variable_aliases=("CODER_AI_GATEWAY_TLS_CERT_FILE",),
        key="networking.tls.cert_file",
    ),
    Option(
        name="tls_key_file",
        kind="path",
        group=SERVER,
        help="Private key in PEM that belongs to the listener's certificate.",
        flag="--tls-key-file",
        variable="CODER_TLS_KEY_FILE",
        variable_aliases=("CODER_AI_GATEWAY_TLS_KEY_FILE",),
        key="networking.tls.key_file",
    ),
    Option(
        name="db",
        kind="path",
        group=SERVER,
        help="The SQLite database that holds the records. It is made when it does not exist.",
        flag="--db",
        variable="AIGW_DB",
        key="aigw.db",
        default=_default_database,
    ),
    Option(
        name="config",
        kind="path",
        group=SERVER,
        help="Configuration file, TOML or YAML. Default: config.toml, config.yaml or config.yml "
        "in the platform's configuration folder, where there is one.",
        flag="--config",
        short="-c",
        variable="CODER_CONFIG_PATH",
        key="",
    ),
    Option(
        name="upstream_connect_timeout",
        kind="duration",
        group=SERVER,
        help="How long connecting to a provider may take before the client gets an error.",
        flag="--upstream-connect-timeout",
        variable="AIGW_UPSTREAM_CONNECT_TIMEOUT",
        key="aigw.upstream_connect_timeout",
        default="30s",
        positive=True,
    ),
    Option(
        name="upstream_idle_timeout",
        kind="duration",
        group=SERVER,
        help="How long a provider may send nothing before its answer counts as broken off. "
        "0: no limit.",
        flag="--upstream-idle-timeout",
        variable="AIGW_UPSTREAM_IDLE_TIMEOUT",
        key="aigw.upstream_idle_timeout",
        default="10m",
    ),
    Option(
        name="max_body_size",
        kind="size",
        group=SERVER,
        help="Largest request body accepted, in bytes or as 10MB or 64MiB. Larger ones get 413.",
        flag="--max-body-size",
        variable="AIGW_MAX_BODY_SIZE",
        key="aigw.max_body_size",
        default="64MiB",
        positive=True,
    ),
    Option(
        name="shutdown_timeout",
        kind="duration",
        group=SERVER,
        help="How long answers in flight may take to finish after a stop signal. 0: not at all.",
        flag="--shutdown-timeout",
        variable="AIGW_SHUTDOWN_TIMEOUT",
        key="aigw.shutdown_timeout",
        default="30s",
    ),
    Option(
        name="store_fail_open",
        kind="bool",
        group=SERVER,
        help="Relay requests unrecorded while the database cannot be written. "
        "Without it they are refused with 503.",
        flag="--store-fail-open",
        variable="AIGW_STORE_FAIL_OPEN",
        key="aigw.store_fail_open",
        default="false",
    ),
    Option(
        name="store_synchronous",
        kind="string",
        group=SERVER,
        help="What a commit waits for: 'normal' outlives a killed process, "
        "'full' a power failure too, and is slower.",
        flag="--store-synchronous",
        variable="AIGW_STORE_SYNCHRONOUS",
        key="aigw.store_synchronous",
        default="normal",
        choices=("normal", "full"),
    ),
    Option(
        name="log_human",
        kind="output",
        group=LOGGING,
        help="Write readable log lines to this file, /dev/stderr or /dev/stdout. Empty: nowhere.",
        flag="--log-human",
        variable="CODER_LOGGING_HUMAN",
        key="introspection.logging.human_path",
        key_aliases=("introspection.logging.humanPath",),
        default="/dev/stderr",
    ),
    Option(
        name="log_json",
        kind="output",
        group=LOGGING,
        help="Write log lines as JSON objects to this file, /dev/stderr or /dev/stdout. "
        "Empty: nowhere.",
        flag="--log-json",
        variable="CODER_LOGGING_JSON",
        key="introspection.logging.json_path",
        key_aliases=("introspection.logging.jsonPath",),
    ),
    Option(
        name="log_filter",
        kind="regex",
        group=LOGGING,
        help="Show debug lines whose logger name or message matches this regular expression. "
        "'.*' shows all.",
        flag="--log-filter",
        short="-l",
        variable="CODER_LOG_FILTER",
        key="introspection.logging.filter",
    ),
    Option(
        name="prometheus_enable",
        kind="bool",
        group=METRICS,
        help="Serve Prometheus metrics under /metrics on the Prometheus address.",
        flag="--prometheus-enable",
        variable="CODER_PROMETHEUS_ENABLE",
        key="introspection.prometheus.enable",
        default="false",
    ),
    Option(
        name="prometheus_address",
        kind="address",
        group=METRICS,
        help="Address that serves the metrics, HOST:PORT.",
        flag="--prometheus-address",
        variable="CODER_PROMETHEUS_ADDRESS",
        key="introspection.prometheus.address",
        default="127.0.0.1:2112",
    ),
)
"""In the order of `--help`."""
