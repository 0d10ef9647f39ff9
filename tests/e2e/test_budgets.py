"""Budgets of the real daemon: what SDKs see, what outlives a restart, what the commands show."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from botocore.exceptions import ClientError

from tests.e2e.asking import APIS, CHAT, post
from tests.e2e.bedrock import REGION, runtime, table
from tests.e2e.control import METRICS, bearer, metric, new_key
from tests.e2e.daemon import Daemon, run_aigw
from tests.e2e.polling import until
from tests.e2e.raw import ask
from tests.simulator import Simulator, sigv4

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]
HELLO: Any = [{"role": "user", "content": "hello"}]


def budgets(daemon: Daemon, *words: str) -> str:
    """What an `aigw budgets` command prints."""
    done = run_aigw(daemon.folder, "budgets", *words, "--db", str(daemon.database))
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(daemon: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(budgets(daemon, "show", "--json"))
    return found


def set_budget(daemon: Daemon, *words: str) -> None:
    """Set one, and wait until the daemon goes by it."""
    before = daemon.log.count("budgets have changed")
    budgets(daemon, "set", *words)
    until(lambda: daemon.log.count("budgets have changed") > before, what="the daemon's notice")


def tokens_of_one(daemon: Daemon, name: str) -> int:
    """What a request for a model costs: the simulator counts the same each time."""
    assert post(daemon, CHAT, CHAT.body(name)).status == 200
    (usage,) = daemon.when_ended(name).token_usages
    kinds = ("input", "output", "cache_read_input", "cache_write_input")
    return sum(int(usage[f"{kind}_tokens"]) for kind in kinds)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_limits_hold_over_a_restart(start_daemon: StartDaemon, model: Model, way: str) -> None:
    daemon = start_daemon()
    name = model("text")
    cost = tokens_of_one(daemon, name)
    set_budget(daemon, "everyone", "--tokens", str(4 * cost + 1), "--per", "day")
    assert [post(daemon, CHAT, CHAT.body(name)).status for _ in range(2)] == [200, 200]
    daemon.stop() if way == "stop" else daemon.kill()
    daemon.start()
    # Three are spent: two more go through, the second one because a token is left.
    assert [post(daemon, CHAT, CHAT.body(name)).status for _ in range(3)] == [200, 200, 403]
    (standing,) = shown(daemon)
    assert standing["pots"] == [{"holder": "local", "name": "local", "spent": 5 * cost, "left": 0}]


@pytest.mark.parametrize("choice", ["forbidden", "billing-error", "usage-limit"])
def test_sdks_ask_once_and_say_why(
    start_daemon: StartDaemon, simulator: Simulator, model: Model, choice: str
) -> None:
    daemon = start_daemon("--budget-refusal", choice, *METRICS)
    set_budget(daemon, "everyone", "--usd", "0", "--per", "day")
    asked = len(simulator.requests)
    words = "AI budget of US$0.00 exceeded. Please contact an administrator for more details."
    kinds: dict[str, tuple[type[Exception], type[Exception]]] = {
        "forbidden": (openai.PermissionDeniedError, anthropic.PermissionDeniedError),
        "billing-error": (openai.RateLimitError, anthropic.RateLimitError),
        "usage-limit": (openai.RateLimitError, anthropic.RateLimitError),
    }
    of_openai, of_anthropic = kinds[choice]
    name = model()
    with openai.OpenAI(base_url=daemon.openai_url, api_key="sk-x") as client:
        with pytest.raises(of_openai, match="budget of US") as chat:
            client.chat.completions.create(model=name, messages=HELLO)
        with pytest.raises(of_openai, match="budget of US"):
            client.responses.create(model=name, input="hello", stream=True)
        # Lists stay free.
        client.models.list()
    with anthropic.Anthropic(base_url=daemon.anthropic_url, api_key="sk-ant-x") as other:
        with pytest.raises(of_anthropic, match="budget of US") as messages:
            other.messages.create(model=name, messages=HELLO, max_tokens=9)
        other.messages.count_tokens(model=name, messages=HELLO)
    assert words in str(chat.value)
    assert words in str(messages.value)
    assert "Budget of each user per day" in str(messages.value)
    # One request each, and none of them reached a provider.
    assert len(daemon.recorded(name)) == 3
    assert len(simulator.requests) == asked + 2
    assert metric(daemon, "cost_control_blocked_requests_total", group_id="") == 3
    assert metric(daemon, "cost_control_blocked_users", group_id="") == 1


def test_bedrocks_own_api_is_refused_as_aws_does(
    start_daemon: StartDaemon, simulator: Simulator
) -> None:
    settings = {
        "bedrock_base_url": simulator.url,
        "bedrock_region": REGION,
        "bedrock_access_key": sigv4.ACCESS_KEY,
        "bedrock_access_key_secret": sigv4.SECRET_KEY,
    }
    daemon = start_daemon(
        *("--budget-refusal", "billing-error"), configuration=table("bedrock", "aws", settings)
    )
    set_budget(daemon, "everyone", "--tokens", "0")
    client = runtime(f"{daemon.address}/api/v2/aibridge/aws")
    with pytest.raises(ClientError) as error:
        client.converse(
            modelId="sim-text", messages=[{"role": "user", "content": [{"text": "hello"}]}]
        )
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert "AI budget of 0 tokens exceeded" in str(error.value)
    assert len(daemon.interceptions()) == 1


def test_what_has_no_price_is_refused_until_it_has_one(
    start_daemon: StartDaemon, simulator: Simulator, model: Model
) -> None:
    daemon = start_daemon(*METRICS, configuration="[aigw]\nbudget_unpriced = 'refuse'\n")
    set_budget(daemon, "everyone", "--usd", "5", "--per", "day")
    asked, name = len(simulator.requests), model("text")
    with openai.OpenAI(base_url=daemon.openai_url, api_key="sk-x") as client:
        with pytest.raises(openai.PermissionDeniedError, match="has no price") as refused:
            client.chat.completions.create(model=name, messages=HELLO)
        assert refused.value.code == "model_not_priced"
        assert daemon.only(name).ended["error_type"] == "model_not_priced"
        assert len(simulator.requests) == asked
        client.models.list()
        # What the message advises, to the letter.
        command = str(refused.value).split("`")[1].replace("DOLLARS", "3")
        words = [*shlex.split(command)[1:], "--db", str(daemon.database)]
        assert run_aigw(daemon.folder, *words).returncode == 0

        def is_served() -> bool:
            try:
                client.chat.completions.create(model=name, messages=HELLO)
            except openai.PermissionDeniedError:
                return False
            return True

        until(is_served, 3, "the price")
    (standing,) = shown(daemon)
    assert standing["pots"][0]["spent"] > 0
    # A reload changes what happens to others.
    other = model("text")
    assert post(daemon, CHAT, CHAT.body(other)).status == 403
    file = daemon.folder / "config.toml"
    file.write_text("[aigw]\nbudget_unpriced = 'allow'\n", encoding="utf-8")
    done = run_aigw(daemon.folder, "reload", "--db", str(daemon.database))
    assert done.returncode == 0, done.stderr
    assert post(daemon, CHAT, CHAT.body(other)).status == 200
    until(lambda: metric(daemon, "cost_control_unpriced_token_usage_records_total") == 1, 5)


def test_a_team_of_two(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon(environment={"CODER_AIBRIDGE_OPENAI_KEY": "sk-central-0123456789"})
    name = model("text")
    ada, ada_id = new_key(daemon.database, "ada", user="ada")
    bob, _ = new_key(daemon.database, "bob", user="bob")
    eve, _ = new_key(daemon.database, "eve", user="eve")
    before = daemon.log.count("budgets have changed")
    done = run_aigw(
        daemon.folder, "groups", "add", "dev", "ada", "bob", "--db", str(daemon.database)
    )
    assert done.returncode == 0
    # Its notice must not be taken for the budget's.
    until(lambda: daemon.log.count("budgets have changed") > before, what="the daemon's notice")
    set_budget(daemon, "group", "dev", "--tokens", "1")

    def statuses(token: str) -> list[int]:
        body = CHAT.body(name)
        answers = (ask(daemon.port, "POST", CHAT.path, body, bearer(token)) for _ in range(2))
        return [answer.status for answer in answers]

    # Each member by itself, and who is no member not at all.
    assert [statuses(token) for token in (ada, bob, eve)] == [[200, 403], [200, 403], [200, 200]]
    # A key's own budget is more specific.
    set_budget(daemon, "key", "ada", "--tokens", "1M")
    assert [statuses(token) for token in (ada, bob)] == [[200, 200], [403, 403]]
    # Its user is told its name, which means something to it.
    set_budget(daemon, "key", "ada", "--tokens", "1")
    refused = ask(daemon.port, "POST", CHAT.path, CHAT.body(name), bearer(ada))
    assert refused.status == 403
    assert b"(Budget of key ada per month:" in refused.body
    assert ada_id.encode() not in refused.body
    by_scope = {each["scope"]: each for each in shown(daemon)}
    assert by_scope["key"]["subject"] == ada_id
    assert by_scope["key"]["pots"][0]["name"] == "ada"
    assert {pot["holder"] for pot in by_scope["group"]["pots"]} == {"ada", "bob"}


def test_many_at_once_overrun_by_one_at_most(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon()
    name = model("text")
    cost = tokens_of_one(daemon, name)
    set_budget(daemon, "everyone", "--shared", "--tokens", str(10 * cost))
    statuses: list[int] = []

    def run() -> None:
        statuses.extend(post(daemon, CHAT, CHAT.body(name)).status for _ in range(4))

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(403)) == (9, 31)
    assert shown(daemon)[0]["pots"] == [
        {"holder": "", "name": "all", "spent": 10 * cost, "left": 0}
    ]


def test_a_reload_changes_how_it_refuses(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon(configuration="[aigw]\nbudget_refusal = 'forbidden'\n")
    set_budget(daemon, "everyone", "--tokens", "0")
    assert {post(daemon, api, api.body(model())).status for api in APIS} == {403}
    file = daemon.folder / "config.toml"
    file.write_text("[aigw]\nbudget_refusal = 'billing-error'\n", encoding="utf-8")
    done = run_aigw(daemon.folder, "reload", "--db", str(daemon.database))
    assert done.returncode == 0, done.stderr
    answers = [post(daemon, api, api.body(model())) for api in APIS]
    assert {answer.status for answer in answers} == {429}
    assert {json.loads(answer.body)["error"]["type"] for answer in answers} == {"billing_error"}


def test_no_prompt_and_no_key_is_told_anybody(start_daemon: StartDaemon, model: Model) -> None:
    central, prompt = "sk-canary-central-0123456789", "canary-prompt-0123456789"
    daemon = start_daemon(
        *("--budget-command", "sh -c 'cat >>told; env >>told'", "--log-json", "log.json"),
        *METRICS,
        environment={"CODER_AIBRIDGE_OPENAI_KEY": central},
    )
    token, key_id = new_key(daemon.database, "ada")
    set_budget(daemon, "key", token, "--tokens", "1")
    body = CHAT.body(model("text"), prompt=prompt)
    answers = [ask(daemon.port, "POST", CHAT.path, body, bearer(token)) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 403]
    told = daemon.folder / "told"
    until(lambda: told.exists() and told.read_text().count("AIGW_BUDGET_UNIT") == 2, what="notices")
    assert daemon.stop() == 0
    log = (daemon.folder / "log.json").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    (first, second) = (line for line in lines if line["message"] == "budget threshold passed")
    assert [first["threshold"], second["threshold"]] == [85, 100]
    assert first["subject"] == key_id
    secret = token.rpartition("_")[2]
    texts = (told.read_text(), log, daemon.log, budgets(daemon, "list"), answers[1].body.decode())
    for text in texts:
        assert not [canary for canary in (central, prompt, secret) if canary in text]
    # Told once, also after a restart.
    daemon.start()
    assert ask(daemon.port, "POST", CHAT.path, body, bearer(token)).status == 403
    assert daemon.stop() == 0
    assert told.read_text().count("AIGW_BUDGET_UNIT") == 2
