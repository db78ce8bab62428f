"""Statuses, messages and odd shapes of answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.hosts.canned import answer
from vidfs.errors import (
    AccessDeniedError,
    BadRequestError,
    CallMissingError,
    CaptchaError,
    HostError,
    HostNotFoundError,
    HostServerError,
    LegalBlockError,
    OutcomeUnknownError,
    QuotaError,
    RateLimitedError,
    UnreadableAnswerError,
    UploadNodeError,
    UploadRefusedError,
    WrongKeyError,
)
from vidfs.hosts.envelope import decode_keyed, decode_rows, find_wait, open_envelope, plain_text
from vidfs.hosts.pacing import CallPausedError
from vidfs.hosts.uploading import judge_failure, parse_html_answer, refusal


@pytest.mark.parametrize(
    ("status", "msg", "expected"),
    [
        (400, "Invalid key", WrongKeyError),
        (403, "Wrong Auth", WrongKeyError),
        ("403", "Wrong auth", WrongKeyError),
        (403, "Authentication failed", WrongKeyError),
        (400, "Invalid operation", CallMissingError),
        (403, "This function not allowed in API", CallMissingError),
        (400, "Invalid file codes", HostNotFoundError),
        (404, "No file", HostNotFoundError),
        (404, None, HostNotFoundError),
        (400, "Folder not found", HostNotFoundError),
        (400, "name is missing", BadRequestError),
        (403, "the file does not belong to you", AccessDeniedError),
        (403, "Captcha not solved correctly", CaptchaError),
        (403, "Disk quota exceeded", QuotaError),
        (451, "DMCA", LegalBlockError),
        ("429", "Too Many Requests", RateLimitedError),
        (200.0 + 229, "", RateLimitedError),
        (400, "Too many requests, slow down", RateLimitedError),
        (403, "please wait 7 more seconds", CallPausedError),
        (509, "peak hours, use the browser", CallPausedError),
        (500, "wait for it", HostServerError),
        (503, "", HostServerError),
        (300, "?", UnreadableAnswerError),
        (0, "?", UnreadableAnswerError),
    ],
)
def test_a_failing_status(status: object, msg: object, expected: type[HostError]) -> None:
    body = msgspec.json.encode({"status": status, "msg": msg, "result": None}).decode()
    for http_status in (200, 403):
        with pytest.raises(HostError) as caught:
            open_envelope(answer(body, http_status=http_status))
        assert type(caught.value) is expected
        assert caught.value.call == "x/y"


@pytest.mark.parametrize("status", ["200", "200.0", "200", '"200"', '"success"', '"OK"'])
def test_success_in_every_spelling(status: str) -> None:
    for http_status in (200, 400, 500):
        open_envelope(answer(f'{{"status": {status}, "msg": "x"}}', http_status=http_status))


@pytest.mark.parametrize(
    ("body", "http_status", "expected"),
    [
        ("<html>", 200, UnreadableAnswerError),
        ("<html>", 403, UnreadableAnswerError),
        ("error code: 520", 520, HostServerError),
        ("", 502, HostServerError),
        ("", 429, RateLimitedError),
        ("", 509, RateLimitedError),
        ("<html>", 404, CallMissingError),
        ("", 200, UnreadableAnswerError),
        ("[]", 200, UnreadableAnswerError),
        ("{}", 200, UnreadableAnswerError),
        ("null", 200, UnreadableAnswerError),
        ('{"status": 200, "msg": "OK", "res', 200, UnreadableAnswerError),
        ("[" * 100_000, 200, UnreadableAnswerError),
        ('{"status": 200, "result": ' + "[" * 100_000, 200, UnreadableAnswerError),
    ],
)
def test_what_is_no_envelope(body: str, http_status: int, expected: type[HostError]) -> None:
    with pytest.raises(expected):
        open_envelope(answer(body, http_status=http_status))


@given(st.binary(max_size=60), st.integers(100, 599))
def test_no_answer_escapes_the_error_tree(body: bytes, http_status: int) -> None:
    given = dataclasses.replace(answer("", http_status=http_status), body=body)
    try:
        envelope = open_envelope(given)
        decode_rows(envelope.result, dict[str, Any], "x")
    except HostError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("[]", []), ("{}", []), ("null", []), ("false", []), ('""', []), ("", []),
        ('[{"a": 1}]', [("", {"a": 1})]),
        ('{"24": {"a": 1}, "3": {"a": 2}}', [("24", {"a": 1}), ("3", {"a": 2})]),
        ('{"a": 1, "b": {}}', [("", {"a": 1, "b": {}})]),
    ],
)  # fmt: skip
def test_lists_keyed_rows_and_single_rows(raw: str, expected: list[tuple[str, object]]) -> None:
    assert decode_keyed(msgspec.Raw(raw.encode()), dict[str, Any], "x") == expected


@pytest.mark.parametrize("raw", ['"text"', "5", "[1]", "[[]]", '{"a":'])
def test_rows_that_are_none(raw: str) -> None:
    with pytest.raises(UnreadableAnswerError):
        decode_rows(msgspec.Raw(raw.encode()), dict[str, Any], "x")


def test_waits_are_read_from_messages() -> None:
    assert find_wait("you must wait 12 more seconds") == 13
    assert find_wait("wait: 5s") == 6
    assert find_wait("30 seconds left to wait") == 31
    assert find_wait("wait") is None
    assert find_wait("wait 999999 seconds") == 24 * 3600


def test_messages_are_one_line() -> None:
    assert plain_text("a <b>bold</b>\nword &amp; \x1b[31mmore") == "a bold word & [31mmore"
    assert len(plain_text("x" * 5000)) == 2000
    assert plain_text(None) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unallowed extension", UploadRefusedError),
        ("", UploadRefusedError),
        ("uploads are not enabled for your account type", UploadRefusedError),
        ("failed while requesting fs.cgi: <html>500", UploadNodeError),
        ("No file on disk (/x/y)", UploadNodeError),
        ("DiskFull", QuotaError),
        ("You have reached your daily upload quota", QuotaError),
    ],
)
def test_refusals_after_the_body(text: str, expected: type[HostError]) -> None:
    assert type(refusal(text)) is expected


def test_failed_upload_answers() -> None:
    server_error = HostServerError("x")
    assert type(judge_failure(server_error, is_sent=True)) is OutcomeUnknownError
    assert type(judge_failure(server_error, is_sent=False)) is UploadNodeError
    assert type(judge_failure(HostNotFoundError("x"), is_sent=True)) is UploadNodeError
    assert type(judge_failure(BadRequestError("bad sha1"), is_sent=True)) is UploadRefusedError
    assert type(judge_failure(WrongKeyError("x"), is_sent=True)) is WrongKeyError
    assert type(judge_failure(RateLimitedError("x"), is_sent=True)) is RateLimitedError


def test_html_answers_of_old_builds() -> None:
    page = (
        b"<HTML><BODY><Form name='F1' action='http://x/' target='_parent' method='POST'>"
        b"<textarea name='op'>upload_result</textarea><textarea name=\"fn\">abcdef123456</textarea>"
        b"<textarea name=st>O&#75;</textarea></Form></BODY></HTML>"
    )
    found = parse_html_answer(page)
    assert found is not None
    assert (found["fn"], found["st"]) == ("abcdef123456", "OK")
    assert parse_html_answer(b"<html>502 Bad Gateway</html>") is None
