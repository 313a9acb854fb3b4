"""The one parser of all transports, against recordings and any cutting of the bytes."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_exchanges import Recorded, expected, held, native, recorded

from bench.ollama.embed_reader import VECTOR_BYTES, embed_call
from bench.ollama.line_reader import ollama_call
from bench.wire.exchange import Call, Outcome, Reply
from bench.wire.http_reader import HttpReader
from bench.wire.reply_reader import ReplyLimits, ReplyReader

CALL = ollama_call("/api/chat", b"{}", keep_text=True)


def read(
    wire: bytes, cuts: list[int], call: Call = CALL, limits: ReplyLimits | None = None
) -> Reply:
    """Feed a response cut at these places, one read a piece, stamped 1000, 2000, ..."""
    limits = limits or ReplyLimits()
    reader, http = ReplyReader(call, limits), HttpReader(limits)
    http.start(reader)
    stamp = 0
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        stamp += 1000
        http.feed(wire[start:end], stamp)
        if http.ended or reader.broken:
            return reader.finish(Outcome.OK, "", stamp)
    outcome, text = http.eof()
    return reader.finish(outcome, text, stamp)


def evenly(wire: bytes, size: int) -> list[int]:
    return list(range(size, len(wire), size))


def stream(*lines: object, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return head + b"".join(b"%x\r\n%b\n\r\n" % (len(t) + 1, t) for t in texts) + end


HEAD = stream(end=b"")


def token(text: str, **more: object) -> dict[str, object]:
    return {"created_at": "t", "message": {"content": text, **more}, "done": False}


DONE = {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 3}


@pytest.mark.parametrize("exchange", native(), ids=str)
@pytest.mark.parametrize("size", [1, 7, 4096, 10**9])
def test_recording_gives_the_reply_it_holds(exchange: Recorded, size: int) -> None:
    wire = exchange.wire()
    assert held(read(wire, evenly(wire, size), exchange.call)) == expected(exchange)


@pytest.mark.parametrize("exchange", recorded(), ids=str)
def test_cutting_does_not_matter_on_any_endpoint(exchange: Recorded) -> None:
    wire = exchange.wire()
    whole = read(wire, [], exchange.call)
    assert whole.outcome in set(Outcome)
    assert held(read(wire, evenly(wire, 1), exchange.call)) == held(whole)


def test_each_line_has_the_stamp_of_the_read_that_completed_it() -> None:
    wire = stream(token("a"), token("b"), token("c"), DONE)
    first = wire.index(b"\n\r\n", wire.index(b'"a"')) + 3
    middle_of_third = wire.index(b'"c"')
    reply = read(wire, [first, middle_of_third])
    # a alone; b; then c, cut, with the rest.
    assert list(reply.chunk_ns) == [1000, 2000, 3000, 3000]
    assert reply.coalesced == 1
    assert (reply.headers_ns, reply.first_chunk_ns, reply.first_answer_ns) == (1000, 1000, 1000)
    assert (reply.last_text_ns, reply.end_ns, reply.text_chunks) == (3000, 3000, 3)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    texts=st.lists(st.text(max_size=12), max_size=8),
    thinking=st.lists(st.text(max_size=12), max_size=4),
    data=st.data(),
)
def test_any_text_in_any_cutting(
    texts: list[str], thinking: list[str], data: st.DataObject
) -> None:
    lines = [token("", thinking=t) for t in thinking] + [token(f"x{t}") for t in texts]
    wire = stream(*lines, DONE)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=30)))
    reply = read(wire, cuts)
    assert reply.outcome is Outcome.OK
    assert reply.thinking == "".join(thinking)
    assert reply.answer == "".join(f"x{t}" for t in texts)
    assert reply.text_chunks == sum(bool(t) for t in thinking) + len(texts)
    assert len(reply.chunk_ns) == len(lines) + 1
    assert reply.coalesced == len(reply.chunk_ns) - len(set(reply.chunk_ns))
    assert sorted(reply.chunk_ns) == list(reply.chunk_ns)


@settings(max_examples=200, deadline=None)
@given(wire=st.binary(max_size=300), data=st.data())
def test_rubbish_is_an_outcome_never_an_exception(wire: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(wire) - 1)), max_size=5)))
    reply = read(wire, [c for c in cuts if c < len(wire)])
    assert reply.outcome in (Outcome.MALFORMED, Outcome.DISCONNECTED, Outcome.HTTP_ERROR)


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=300))
def test_a_rubbish_body_is_an_outcome_never_an_exception(body: bytes) -> None:
    wire = stream(body)
    assert read(wire, []).outcome in set(Outcome) - {Outcome.OK}
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    assert read(whole, [], ollama_call("/", b"", stream=False)).outcome in set(Outcome) - {
        Outcome.OK
    }


@settings(max_examples=100, deadline=None)
@given(
    headers=st.lists(
        st.tuples(
            st.from_regex(r"X-[A-Za-z0-9-]{1,20}", fullmatch=True),
            st.from_regex(r"[ -~]{0,60}", fullmatch=True),
        ),
        max_size=8,
    ),
    size=st.integers(1, 50),
)
def test_any_headers(headers: list[tuple[str, str]], size: int) -> None:
    more = "".join(f"{k}: {v}\r\n" for k, v in headers).encode()
    wire = stream(token("a"), DONE).replace(b"\r\n", b"\r\n" + more, 1)
    assert read(wire, evenly(wire, size)).outcome is Outcome.OK


# --- how a response ends ------------------------------------------------------------------------


def test_stream_without_done_is_aborted() -> None:
    reply = read(stream(token("a")), [])
    assert (reply.outcome, reply.answer) == (Outcome.ABORTED, "a")
    assert "done: true" in reply.error


def test_error_line_under_200() -> None:
    reply = read(stream(token("a"), {"error": "an error was encountered"}), [])
    assert (reply.outcome, reply.error) == (Outcome.STREAM_ERROR, "an error was encountered")
    assert reply.status == 200 and len(reply.chunk_ns) == 2


def test_error_of_the_compatible_shape() -> None:
    reply = read(stream({"error": {"message": "no such model", "type": "x"}}), [])
    assert (reply.outcome, reply.error) == (Outcome.STREAM_ERROR, "no such model")


@pytest.mark.parametrize("cut", [20, 60, -10, -3])
def test_connection_that_breaks_is_disconnected(cut: int) -> None:
    assert read(stream(token("a"), DONE)[:cut], []).outcome is Outcome.DISCONNECTED


def test_text_that_came_before_the_break_is_kept() -> None:
    reply = read(stream(token("a"), token("b"), end=b""), [])
    assert (reply.outcome, reply.answer, len(reply.chunk_ns)) == (Outcome.DISCONNECTED, "ab", 2)


@pytest.mark.parametrize(
    "line", [b"data: {}", b"[1]", b'{"done": "yes"}', b'{"message": 3}', b"{", b'"x"', b"\xff\xfe"]
)
def test_line_that_is_not_ollamas_is_malformed(line: bytes) -> None:
    reply = read(stream(token("a"), line, token("b")), [])
    assert reply.outcome is Outcome.MALFORMED
    assert "Ollama" in reply.error


KINDS = st.sampled_from(
    [
        token("a"),
        token("b "),
        token(""),
        token("é\n"),
        token("", thinking="hm"),
        token("<think>"),
        token("</think>"),
        {"response": "gen", "done": False},
        {"message": {"content": "", "tool_calls": [{}]}, "done": False},
        {"error": "boom"},
        b"",
        b"{}",
        b"nonsense",
        b'{"message":{"content":"two"}}\n{"message":{"content":"lines"}}',
        DONE,
    ]
)


@pytest.mark.slow
@settings(max_examples=300)
@given(kinds=st.lists(KINDS, max_size=40), data=st.data())
def test_any_lines_read_alike_in_any_cutting(
    kinds: list[dict[str, object] | bytes], data: st.DataObject
) -> None:
    wire = stream(*[token("first")] * data.draw(st.integers(0, 1)), *kinds)
    # Cuts at the ends of chunks are the common case, and where reads are put aside.
    ends = [i + 3 for i in range(len(wire)) if wire.startswith(b"\n\r\n", i)]
    cuts = data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=6))
    if ends:
        cuts |= data.draw(st.sets(st.sampled_from(ends)))
    one, many = read(wire, []), read(wire, sorted(cuts))
    assert held(many) == held(one)
    assert (many.text_chunks, many.tool_calls) == (one.text_chunks, one.tool_calls)
    assert many.coalesced == len(many.chunk_ns) - len(set(many.chunk_ns))


@settings(max_examples=60)
@given(data=st.data())
def test_nothing_counts_after_a_malformed_line(data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, 30))
    lines = [token(f"t{i}") for i in range(30)]
    wire = stream(*lines[:bad], b'{"message":', *lines[bad:], DONE)
    ends = [i + 4 for i in range(len(wire)) if wire.startswith(b"\n\r\n", i)][:-1]
    cuts = sorted(data.draw(st.sets(st.sampled_from(ends))))
    reply = read(wire, [c - 1 for c in cuts])
    assert (reply.outcome, len(reply.chunk_ns)) == (Outcome.MALFORMED, bad + 1)
    assert reply.answer == "".join(f"t{i}" for i in range(bad))


@pytest.mark.parametrize("after", [token("x"), DONE, b"rubbish", b"[" * 1000])
def test_line_after_done_is_no_part_of_the_reply(after: object) -> None:
    reply = read(stream(token("a"), DONE, after), [])
    assert (reply.outcome, reply.answer, len(reply.chunk_ns)) == (Outcome.OK, "a", 2)
    assert (reply.server.eval_count, reply.odd) == (3, ("done",))


def test_error_after_done_is_an_error() -> None:
    reply = read(stream(DONE, {"error": "late"}), [])
    assert (reply.outcome, reply.error) == (Outcome.STREAM_ERROR, "late")


@pytest.mark.parametrize("streamed", [True, False])
def test_reason_without_done_is_the_end(streamed: bool) -> None:
    last = {"message": {"content": "b"}, "done_reason": "stop", "eval_count": 2}
    if streamed:
        reply = read(stream(token("a"), last), [])
    else:
        body = json.dumps(last).encode()
        wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        reply = read(wire, [], ollama_call("/", b"", stream=False, keep_text=True))
    assert (reply.outcome, reply.done_reason, reply.odd) == (Outcome.OK, "stop", ("done",))
    assert (reply.server.eval_count, reply.answer) == (2, "ab" if streamed else "b")


def test_reason_on_every_line_loses_no_text() -> None:
    lines = [{**token(t), "done_reason": "stop"} for t in "abc"]
    reply = read(stream(*lines, DONE), [])
    assert (reply.outcome, reply.answer, reply.odd) == (Outcome.OK, "abc", ())


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (b"12", 12),
        (b"12.0", 12),
        (b"12.4", None),
        (b'"12"', 12),
        (b"0", 0),
        (b"-1", -1),
        (b"4611686018427387903", 2**62 - 1),
        (b"4611686018427387904", None),
        (b"9223372036854775808", None),
        (b"18446744073709551615", None),
        (b"9" * 400, None),
        (b"9" * 5000, None),
        (b"1e400", None),
        (b"NaN", None),
        (b"-Infinity", None),
        (b'"many"', None),
        (b"true", None),
        (b"[1]", None),
        (b"{}", None),
    ],
)
@pytest.mark.parametrize("more", [b"", b',"x":NaN', b',"created_at":1764404000'])
def test_odd_number_costs_its_own_field(value: bytes, taken: int | None, more: bytes) -> None:
    done = b'{"done":true,"eval_count":3,"load_duration":%b%b}' % (value, more)
    reply = read(stream(token("a"), done), [])
    assert (reply.outcome, reply.answer, reply.server.eval_count) == (Outcome.OK, "a", 3)
    assert reply.server.load_duration == taken
    assert ("load_duration" in reply.odd) == (taken is None)
    assert ("created_at" in reply.odd) == (b"created_at" in more)


def test_count_with_a_fraction_is_no_count() -> None:
    reply = read(stream(b'{"done":true,"eval_count":3.5,"prompt_eval_count":4.0}'), [])
    assert (reply.server.eval_count, reply.server.prompt_eval_count) == (None, 4)
    assert reply.odd == ("eval_count",)


def test_half_a_character_in_each_line() -> None:
    lines = [b'{"message":{"content":"a\\ud83d"}}', b'{"message":{"content":"\\ude00b"}}']
    reply = read(stream(*lines, DONE), [])
    whole = read(stream(token("a"), token("😀b"), DONE), [])
    assert (reply.outcome, reply.answer, reply.answer_chars) == (Outcome.OK, "a😀b", 3)
    assert (reply.output_sha256, reply.odd) == (whole.output_sha256, ())


@pytest.mark.parametrize(
    "line", [b'{"message":{"content":"a\\ud83d!"}}', b'{"message":{"content":"a\xf0\x9f!"}}']
)
def test_half_a_character_alone_is_no_text(line: bytes) -> None:
    reply = read(stream(line, DONE), [])
    assert (reply.outcome, reply.answer) == (Outcome.OK, "a\ufffd!")
    assert len(reply.odd) == 1


def test_whatever_is_stored_can_be_stored() -> None:
    line = b'{"done":true,"done_reason":"\\ud83d","created_at":"\\udc00","remote_model":"\\ud800"}'
    reply = read(stream(line), [])
    for text in (reply.done_reason, reply.created_at_first, reply.remote_model):
        assert text is not None
        text.encode()


NUMBERS = [
    f"{what}_{unit}"
    for what, unit in [
        ("total", "duration"),
        ("load", "duration"),
        ("eval", "duration"),
        ("prompt_eval", "duration"),
        ("prompt_eval", "count"),
        ("prompt_eval_cached", "count"),
    ]
]
FIELDS = ["created_at", "done_reason", "remote_model", "model", "context", *NUMBERS]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(categories=["Cs", "L", "Cc"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    name=st.sampled_from(FIELDS),
)
def test_no_value_of_no_field_costs_the_reply(value: object, name: str) -> None:
    done = {"message": {"content": "b"}, "done": True, "eval_count": 3, name: value}
    reply = read(stream(token("a"), done), [])
    assert (reply.outcome, reply.answer, reply.server.eval_count) == (Outcome.OK, "ab", 3)
    msgspec.json.encode(reply.server)
    msgspec.json.encode(reply.other_fields)
    msgspec.json.encode([reply.done_reason, reply.created_at_last, reply.remote_model, reply.odd])


def test_tool_calls_of_another_kind() -> None:
    lines = [b'{"message":{"tool_calls":{}}}', b'{"message":{"tool_calls":null}}']
    reply = read(stream(*lines, DONE), [])
    assert (reply.outcome, reply.tool_calls, reply.odd) == (Outcome.OK, 0, ("tool_calls",))


def test_counters_are_verbatim_and_absent_is_none() -> None:
    done = {**DONE, "eval_duration": 0, "total_duration": 2**62 - 1, "remote_model": "gpt"}
    reply = read(stream(done), [])
    assert (reply.server.eval_count, reply.server.eval_duration) == (3, 0)
    assert (reply.server.total_duration, reply.server.load_duration) == (2**62 - 1, None)
    assert reply.remote_model == "gpt"


def test_text_on_the_done_line_counts() -> None:
    reply = read(stream({**DONE, "message": {"content": "!"}}), [])
    assert (reply.answer, reply.text_chunks, reply.first_answer_ns) == ("!", 1, 1000)


def test_null_fields_and_tool_calls() -> None:
    line = {"message": {"content": None, "tool_calls": [{"function": {}}, {}]}, "done": False}
    reply = read(stream(line, DONE), [])
    assert (reply.outcome, reply.tool_calls, reply.answer) == (Outcome.OK, 2, "")
    assert reply.first_answer_ns is None and reply.text_chunks == 0


def test_blank_lines_are_not_chunks() -> None:
    assert len(read(stream(b"", token("a"), b"  ", DONE), []).chunk_ns) == 2


# --- the forms of HTTP --------------------------------------------------------------------------

BODY = b"".join(json.dumps(line).encode() + b"\n" for line in (token("a"), DONE))


@pytest.mark.parametrize("size", [1, 10**9])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY),
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 200 OK\r\n\r\n",
    ],
)
def test_every_way_to_delimit_a_body(head: bytes, size: int) -> None:
    wire = head + BODY
    reply = read(wire, evenly(wire, size))
    assert (reply.outcome, reply.answer, reply.status) == (Outcome.OK, "a", 200)


def test_reuse_is_known() -> None:
    def reusable(wire: bytes) -> bool:
        http = HttpReader()
        http.start(ReplyReader(CALL))
        http.feed(wire, 1)
        return http.reusable

    good = stream(DONE)
    assert reusable(good)
    assert not reusable(good + b"HTTP/1.1 408 Timeout\r\n\r\n")
    assert not reusable(good + b"rubbish")
    assert not reusable(good.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    assert not reusable(good.replace(b"HTTP/1.1", b"HTTP/1.0", 1))


def test_one_connection_reads_many_responses() -> None:
    http = HttpReader()
    for wire in (stream(token("a"), DONE), b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n") * 3:
        reader = ReplyReader(CALL)
        http.start(reader)
        http.feed(wire, 5)
        assert http.ended and http.reusable
        assert reader.finish(Outcome.OK, "", 5).status == int(wire[9:12])


@pytest.mark.parametrize("coding", ["gzip", "deflate", "X-GZIP"])
@pytest.mark.parametrize("size", [1, 10**9])
def test_compressed_body(coding: str, size: int) -> None:
    packed = zlib.compress(BODY) if coding == "deflate" else gzip.compress(BODY)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n"
    wire = head.encode() + packed
    reply = read(wire, evenly(wire, size))
    assert (reply.outcome, reply.answer, len(reply.chunk_ns)) == (Outcome.OK, "a", 2)


@pytest.mark.parametrize("size", [1, 7, 10**9])
@pytest.mark.parametrize("after", [b"", b"\0\0\0"])
def test_compressed_body_of_several_members(after: bytes, size: int) -> None:
    packed = b"".join(gzip.compress(line) for line in BODY.splitlines(keepends=True)) + after
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    wire = head % len(packed) + packed
    reply = read(wire, evenly(wire, size))
    assert (reply.outcome, reply.answer, len(reply.chunk_ns)) == (Outcome.OK, "a", 2)


def test_broken_compression() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
    packed = gzip.compress(BODY)
    cut = head + b"Content-Length: %d\r\n\r\n%b" % (len(packed) - 9, packed[:-9])
    assert read(cut, []).outcome is Outcome.DISCONNECTED
    assert read(head + b"Content-Length: 4\r\n\r\nnope", []).outcome is Outcome.MALFORMED
    other = head.replace(b"gzip", b"br") + b"Content-Length: 4\r\n\r\nnope"
    assert "'br'" in read(other, []).error


# --- embeddings ---------------------------------------------------------------------------------


def embedded(answer: object, **more: Any) -> Reply:
    body = json.dumps(answer).encode()
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    return read(wire, evenly(wire, 65_536), embed_call("/api/embed", b"{}", stream=False, **more))


def test_a_large_batch_is_no_broken_reply() -> None:
    """2,000 texts of 1,024 numbers have 22 MB; of one request they are refused."""
    answer = {"model": "m", "embeddings": [[0.12345678] * 1024] * 2000, "prompt_eval_count": 9}
    reply = embedded(answer, more_bytes=2000 * VECTOR_BYTES)
    assert (reply.outcome, reply.embeddings, reply.server.prompt_eval_count) == ("ok", 2000, 9)
    assert embedded(answer).outcome is Outcome.MALFORMED


def test_a_counter_of_an_embedding_that_is_no_number_is_named() -> None:
    reply = embedded({"embeddings": [[1]], "total_duration": "soon", "load_duration": 5})
    assert (reply.outcome, reply.odd) == (Outcome.OK, ("total_duration",))
    assert (reply.server.total_duration, reply.server.load_duration) == (None, 5)


def test_an_error_in_place_of_an_embedding() -> None:
    reply = embedded({"error": {"message": "out of memory"}})
    assert (reply.outcome, reply.error) == (Outcome.STREAM_ERROR, "out of memory")


# --- errors and limits --------------------------------------------------------------------------


def error_response(body: bytes, status: int = 500, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, more, len(body), body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":"model \'x\' not found"}', "model 'x' not found"),
        (b'{"error":{"message":"m"}}', "m"),
        (
            b"  <html><style>a{}</style><TITLE>bad &amp; <b>gone</b></TITLE>x</html> ",
            "HTTP 500 Internal Server Error, a page: bad & gone",
        ),
        (
            b"<!DOCTYPE html><title></title><p>bad<br>gateway",
            "HTTP 500 Internal Server Error, a page: bad gateway",
        ),
        (b"", "HTTP 500 Internal Server Error with an empty body"),
        (b"404 page\nnot found", "HTTP 500 Internal Server Error: 404 page not found"),
        (b'{"error":"' + b"x" * 5000 + b'"}', "x" * 1000),
        (b"y" * 300_000, f"HTTP 500 Internal Server Error: {'y' * 200}..."),
        (b"<title" * 60_000, f"HTTP 500 Internal Server Error: {('<title' * 99)[:200]}..."),
    ],
)
def test_error_body(body: bytes, text: str) -> None:
    reply = read(error_response(body), [])
    assert (reply.outcome, reply.status, reply.error) == (Outcome.HTTP_ERROR, 500, text)


def test_redirect_is_refused_with_advice() -> None:
    more = b"Location: https://gpu.example.org/api/chat\r\n"
    reply = read(error_response(b"moved", 308, more), [])
    assert reply.outcome is Outcome.HTTP_ERROR
    assert "https://gpu.example.org/api/chat" in reply.error and "final URL" in reply.error


def test_long_line_is_refused() -> None:
    limits = ReplyLimits(line_bytes=1000)
    wire = stream(token("a" * 2000), DONE)
    for size in (1, 100, 10**9):
        reply = read(wire, evenly(wire, size), limits=limits)
        if size == 10**9:
            assert reply.outcome is Outcome.OK  # it was never kept
        else:
            assert reply.outcome is Outcome.MALFORMED and "1000 bytes" in reply.error


def test_long_body_is_refused() -> None:
    limits = ReplyLimits(body_bytes=1000)
    lines = stream(*[token("a" * 50)] * 20, DONE)
    assert "1000 bytes" in read(lines, evenly(lines, 300), limits=limits).error
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b" " * 2000
    reply = read(whole, evenly(whole, 100), ollama_call("/", b"", stream=False), limits)
    assert reply.outcome is Outcome.MALFORMED and "1000 bytes" in reply.error


@pytest.mark.parametrize("size", [40, 300, 10**9])
def test_a_body_counts_once_however_it_is_read(size: int) -> None:
    lines = stream(*[token("a" * 50)] * 20, DONE)
    limits = ReplyLimits(body_bytes=len(lines))
    assert read(lines, evenly(lines, size), limits=limits).outcome is Outcome.OK


def test_compression_bomb_is_refused() -> None:
    packed = gzip.compress(b" " * 50_000_000)
    wire = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    reply = read(wire % (len(packed), packed), [], limits=ReplyLimits(body_bytes=10_000_000))
    assert reply.outcome is Outcome.MALFORMED


def test_long_head_is_refused() -> None:
    wire = b"HTTP/1.1 200 OK\r\n" + b"X-A: %b\r\n" % (b"a" * 500) * 100
    reply = read(wire, evenly(wire, 1000), limits=ReplyLimits(head_bytes=10_000))
    assert reply.outcome is Outcome.MALFORMED and "head" in reply.error


FRAMED = HEAD + b"".join(b"1\r\n%c\r\n" % b for b in BODY)


def test_bytes_one_by_one_are_no_trouble() -> None:
    assert read(FRAMED + b"0\r\n\r\n", []).outcome is Outcome.OK


@pytest.mark.parametrize(
    "more",
    [
        b"0\r\n" + b"X-Trailer: a\r\n" * 30_000,
        b"0\r\nX-Trailer: " + b"a" * 300_000,
        b"1;" + b"x" * 300_000,
        b"1;x=" + b'"a' * 200_000,
        b"0" * 300_000,
        b"1;%b\r\n \r\n" % (b"x" * 200) * 3000,
    ],
)
@pytest.mark.parametrize("size", [500, 10**9])
def test_what_frames_a_body_has_an_end(more: bytes, size: int) -> None:
    wire = FRAMED + more
    reply = read(wire + b"\r\n" * 2, evenly(wire, size))
    assert reply.outcome is Outcome.MALFORMED


@pytest.mark.parametrize("line", [b" ", b"\n", b'{"message":{"content":" "}}\n', b"{}\n"])
@pytest.mark.parametrize("size", [64, 10**9])
def test_blanks_take_linear_time(line: bytes, size: int) -> None:
    def seconds(n: int) -> float:
        wire = HEAD + (b"%x\r\n%b\r\n" % (len(line), line)) * n
        start = time.process_time()
        read(wire, evenly(wire, size))
        return time.process_time() - start

    few, many = min(seconds(2000) for _ in range(3)), min(seconds(32_000) for _ in range(2))
    assert many < 16 * few * 4


def test_limits_of_a_stream() -> None:
    lines = stream(*[b"{}"] * 600_000)
    assert "1000 lines" in read(lines, [], limits=ReplyLimits(lines=1000)).error
    text = stream(*[token("a" * 1000)] * 3000, DONE)
    assert "1000 bytes" in read(text, [], limits=ReplyLimits(whole_bytes=1000)).error
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2_000_000
    whole = ollama_call("/", b"", stream=False)
    assert (
        "1000 bytes" in read(body, evenly(body, 64000), whole, ReplyLimits(whole_bytes=1000)).error
    )


def test_long_line_in_small_reads_is_not_quadratic() -> None:
    line = token("a" * 400_000)
    wire = stream(line, DONE)
    assert read(wire, evenly(wire, 64)).answer_chars == 400_000


# --- thinking in literal tags -------------------------------------------------------------------


def test_literal_think_tags_are_thinking() -> None:
    parts = ["<th", "ink>", "\nhm", "</thi", "nk>", "\n\n", "Yes", " <think>"]
    wire = stream(*(token(p) for p in parts), DONE)
    cuts = [
        wire.index(b"}\n\r\n", wire.index(b'"' + json.dumps(p).encode()[1:])) + 4 for p in parts
    ]
    reply = read(wire, cuts)
    assert (reply.thinking, reply.answer) == ("\nhm", "Yes <think>")
    assert reply.first_thinking_ns == 1000  # the tag's first piece
    assert reply.first_answer_ns == 7000
    assert reply.text_chunks == len(parts)


def test_what_only_looks_like_a_tag_is_answer_from_its_first_piece() -> None:
    wire = stream(token("\n<thi"), token("s>"), DONE)
    cut = wire.index(b"}\n\r\n") + 4
    reply = read(wire, [cut])
    assert (reply.answer, reply.thinking, reply.first_answer_ns) == ("\n<this>", "", 1000)
    assert reply.first_thinking_ns is None


def test_answer_that_ends_undecided_is_answer() -> None:
    reply = read(stream(token("<think"), DONE), [])
    assert (reply.answer, reply.thinking, reply.first_answer_ns) == ("<think", "", 1000)


def test_tags_in_a_reply_that_is_not_streamed() -> None:
    body = json.dumps({**DONE, "message": {"content": "<think>hm</think> Yes"}}).encode()
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    reply = read(wire, [], ollama_call("/api/chat", b"", stream=False, keep_text=True))
    assert (reply.thinking, reply.answer, reply.outcome) == ("hm", "Yes", Outcome.OK)
    assert reply.first_answer_ns is None and len(reply.chunk_ns) == 0
    assert reply.first_chunk_ns == 1000


def test_a_counter_that_is_no_number_costs_that_counter_only() -> None:
    done = {**DONE, "eval_duration": "95 ms", "eval_count": 3.0, "load_duration": 2.5}
    reply = read(stream(token("a"), done), [])
    assert reply.outcome is Outcome.OK
    assert (reply.server.eval_count, reply.server.eval_duration) == (3, None)
    assert reply.other_fields == {"eval_duration": "95 ms", "load_duration": 2.5}


def test_unknown_fields_of_the_done_line_are_kept_bounded() -> None:
    more = {"peak_memory": 2**40, "timings": {"n": [1, 2]}, "context": [1] * 9, "blob": "x" * 9000}
    kept = read(stream(token("a"), {**DONE, **more}), []).other_fields
    assert kept["peak_memory"] == 2**40 and kept["timings"] == {"n": [1, 2]}
    assert kept["blob"].startswith('"xxx') and len(kept["blob"]) < 600
    assert "context" not in kept


def test_counters_that_no_column_holds_are_kept_beside_the_others() -> None:
    reply = read(stream(token("a"), {**DONE, "load_duration": 2**70}), [])
    assert reply.server.load_duration is None
    assert reply.other_fields == {"load_duration": 2**70}


def test_every_model_that_a_reply_names_is_kept() -> None:
    lines = [{**token(f"t{i}"), "model": "a"} for i in range(6)]
    lines[4]["model"] = "b"
    wire = stream(*lines, {**DONE, "model": "a"})
    assert read(wire, []).answered_by == "a, b"
    assert read(wire, list(range(0, len(wire), 7))).answered_by == "a, b"
