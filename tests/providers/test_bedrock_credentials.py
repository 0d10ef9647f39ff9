"""Where an AWS identity comes from, in which order, and how it stays fresh."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict

from aigw.errors import ConfigError, UpstreamError
from aigw.provider_settings import BedrockSettings
from aigw.providers import bedrock_signing
from aigw.providers.bedrock_credentials import aws_credentials
from aigw.providers.bedrock_signing import AwsIdentity
from aigw.providers.call import ApiKey, Call
from aigw.secrets import Secret, mask
from tests.providers.aws import Services, forget_aws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary/secret/0123456789"
PAIR = ((Secret("CONFIGURED"), Secret(CANARY)),)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    forget_aws(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    from botocore.utils import ContainerMetadataFetcher

    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    with Services() as running:
        yield running


@pytest.fixture
def container(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Services that the chain finds."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{services.url}/container")
    return services


def call() -> Call:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/x/invoke"
    return Call("POST", url, CIMultiDict({"Content-Type": "application/json"}), b"{}")


async def signed_with(identity: AwsIdentity) -> str:
    """The access key that signs now."""
    request = call()
    await identity.apply(request)
    return request.headers["Authorization"].partition("Credential=")[2].partition("/")[0]


def identity_of(**settings: object) -> AwsIdentity:
    options = {"region": "us-east-1"} | settings
    (found,) = aws_credentials(BedrockSettings(**options))  # type: ignore[arg-type]
    assert isinstance(found, AwsIdentity)
    return found


def use_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)


def use_web_identity(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    (home / "token").write_text("token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/gateway")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)


def use_sso(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    from botocore.credentials import SSOProvider

    start = "https://example.awsapps.com/start"
    cache = home / "cache"
    cache.mkdir()
    name = hashlib.sha1(start.encode()).hexdigest()
    (cache / f"{name}.json").write_text(
        '{"accessToken":"t","expiresAt":"2099-01-01T00:00:00Z","region":"us-east-1"}'
    )
    monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(cache))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", url)
    with (home / ".aws" / "config").open("a") as file:
        file.write(
            f"[default]\nsso_start_url = {start}\nsso_region = us-east-1\n"
            "sso_account_id = 123456789012\nsso_role_name = r\n"
        )


def use_profiles(home: Path) -> None:
    (home / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = {CANARY}\n"
        f"[named]\naws_access_key_id = NAMED\naws_secret_access_key = {CANARY}\n"
    )


def use_process(home: Path) -> None:
    (home / "process.json").write_text(
        f'{{"Version":1,"AccessKeyId":"PROCESS","SecretAccessKey":"{CANARY}"}}'
    )
    with (home / ".aws" / "config").open("a") as file:
        file.write(f"[profile process]\ncredential_process = cat {home}/process.json\n")


def use_instance(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)


SOURCES = ["environment", "web identity", "sso", "profiles", "container", "instance"]
WINNERS = {
    "environment": "ENVIRONMENT",
    "web identity": "WEBIDENTITY",
    "sso": "SSO",
    "profiles": "DEFAULT",
    "container": "CONTAINER",
    "instance": "INSTANCE",
}


@pytest.mark.parametrize("first", SOURCES)
async def test_each_source_of_the_chain_comes_before_those_after_it(
    first: str, home: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = SOURCES[SOURCES.index(first) :]
    if "environment" in present:
        use_environment(monkeypatch)
    if "web identity" in present:
        use_web_identity(monkeypatch, home, services.url)
    if "sso" in present:
        use_sso(monkeypatch, home, services.url)
    if "profiles" in present:
        use_profiles(home)
    if "container" in present:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{services.url}/container")
    use_instance(monkeypatch, services.url)
    identity = identity_of()
    assert identity.hint == ""
    assert await signed_with(identity) == WINNERS[first]
    assert identity.hint == mask(WINNERS[first])
    assert await signed_with(identity_of(access_keys=PAIR)) == "CONFIGURED"


@pytest.mark.parametrize(
    ("profile", "variable", "winner"),
    [
        ("named", "", "NAMED"),
        ("process", "", "PROCESS"),
        ("named", "process", "NAMED"),
        ("", "named", "ENVIRONMENT"),
    ],
)
async def test_a_configured_profile_comes_before_the_environment(
    profile: str, variable: str, winner: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_environment(monkeypatch)
    use_profiles(home)
    use_process(home)
    if variable:
        monkeypatch.setenv("AWS_PROFILE", variable)
    assert await signed_with(identity_of(profile=profile)) == winner


async def test_a_bedrock_key_in_the_environment_is_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_environment(monkeypatch)
    use_profiles(home)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", CANARY)
    (key,) = aws_credentials(BedrockSettings(region="us-east-1"))
    assert isinstance(key, ApiKey)
    request = call()
    await key.apply(request)
    assert request.headers["Authorization"] == f"Bearer {CANARY}"
    # What the configuration names comes first.
    assert await signed_with(identity_of(access_keys=PAIR)) == "CONFIGURED"
    assert await signed_with(identity_of(profile="named")) == "NAMED"
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "two words")
    with pytest.raises(ConfigError, match="AWS_BEARER_TOKEN_BEDROCK"):
        aws_credentials(BedrockSettings(region="us-east-1"))


async def test_each_pair_is_a_credential_of_its_own() -> None:
    pairs = ((Secret("KEYONE"), Secret("s1")), (Secret("KEYTWO"), Secret("s2")))
    found = aws_credentials(BedrockSettings(region="us-east-1", access_keys=pairs))
    keys = [await signed_with(each) for each in found if isinstance(each, AwsIdentity)]
    assert keys == ["KEYONE", "KEYTWO"]
    assert [each.hint for each in found] == [mask("KEYONE"), mask("KEYTWO")]
    other = ((Secret("KEYONE"), Secret("corrected")),)
    (corrected,) = aws_credentials(BedrockSettings(region="us-east-1", access_keys=other))
    assert len({each.identity for each in (*found, corrected)}) == 3


def test_a_secret_shows_nowhere() -> None:
    identity = identity_of(access_keys=PAIR, session_token=Secret(CANARY))
    assert CANARY not in f"{identity!r}{identity}{identity.hint}{identity.identity}"


def test_a_missing_library_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(ConfigError, match=r"pip install '.\[bedrock\]'"):
        aws_credentials(BedrockSettings(region="us-east-1"))
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "needs-no-library")
    assert aws_credentials(BedrockSettings(region="us-east-1"))


async def test_no_credentials_is_an_error_that_says_where_they_were_looked_for() -> None:
    with pytest.raises(UpstreamError, match="no AWS credentials found") as failed:
        await identity_of().resolve()
    assert (failed.value.status, failed.value.kind) == (502, "no_aws_credentials")
    assert "aws sso login" in str(failed.value)


async def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(UpstreamError, match="absent"):
        await identity_of(profile="absent").resolve()


async def test_what_a_credential_process_prints_is_not_repeated(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / ".aws" / "config").write_text(
        f"[profile p]\ncredential_process = sh -c 'echo {CANARY} >&2; exit 1'\n"
    )
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UpstreamError) as failed:
        await identity_of(profile="p").resolve()
    assert CANARY not in str(failed.value) + caplog.text
    assert "Traceback" not in caplog.text


async def test_fifty_requests_at_the_start_share_one_search(container: Services) -> None:
    identity = identity_of()
    keys = await asyncio.gather(*(signed_with(identity) for _ in range(50)))
    assert set(keys) == {"CONTAINER"}
    assert container.requests == ["/container"]


async def test_fifty_requests_share_one_renewal_of_expiring_credentials(
    container: Services,
) -> None:
    container.life = 30
    identity = identity_of()
    await identity.resolve()
    container.requests.clear()
    container.life, container.key = 3600, "RENEWED"
    keys = await asyncio.gather(*(signed_with(identity) for _ in range(50)))
    assert set(keys) == {"RENEWED"}
    assert container.requests == ["/container"]
    assert identity.hint == mask("RENEWED")


async def test_a_renewal_in_good_time_delays_nobody(
    container: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bedrock_signing, "RENEWAL_PAUSE_S", 0)
    container.life = 300
    identity = identity_of()
    await identity.resolve()
    container.requests.clear()
    container.life, container.key = 3600, "RENEWED"
    container.open.clear()
    keys = await asyncio.gather(*(signed_with(identity) for _ in range(50)))
    assert set(keys) == {"CONTAINER"}
    container.open.set()
    renewal = identity._search
    assert renewal is not None
    await renewal
    assert await signed_with(identity) == "RENEWED"
    assert container.requests == ["/container"]


async def test_a_failed_renewal_leaves_credentials_that_still_serve(
    container: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bedrock_signing, "RENEWAL_PAUSE_S", 0)
    container.life = 300
    identity = identity_of()
    await identity.resolve()
    container.status = 500
    assert await signed_with(identity) == "CONTAINER"
    assert identity._search is not None
    assert await identity._search is not None
    assert await signed_with(identity) == "CONTAINER"
    assert "AWS credentials cannot be renewed" in caplog.text
    assert "Traceback" not in caplog.text


async def test_after_a_failure_the_next_search_waits_a_little(
    container: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.status = 500
    identity = identity_of()
    with pytest.raises(UpstreamError):
        await identity.resolve()
    asked = len(container.requests)
    results = await asyncio.gather(
        *(identity.apply(call()) for _ in range(50)), return_exceptions=True
    )
    assert {type(result) for result in results} == {UpstreamError}
    assert len(container.requests) == asked
    container.status = 200
    monkeypatch.setattr(bedrock_signing, "RETRY_PAUSE_S", 0)
    assert await signed_with(identity) == "CONTAINER"


async def test_the_loop_runs_on_while_credentials_are_looked_for(container: Services) -> None:
    container.open.clear()
    waiting = asyncio.gather(identity_of().resolve())
    async with asyncio.timeout(30):
        while not container.requests:  # noqa: ASYNC110 (another thread's list: nothing to await)
            await asyncio.sleep(0)
    assert not waiting.done()
    container.open.set()
    await waiting


async def test_one_who_gives_up_takes_the_search_from_nobody(container: Services) -> None:
    container.open.clear()
    identity = identity_of()
    leaving = asyncio.gather(identity.resolve())
    staying = asyncio.gather(signed_with(identity))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    container.open.set()
    assert await staying == ["CONTAINER"]
