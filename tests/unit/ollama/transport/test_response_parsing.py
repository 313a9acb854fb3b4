"""The one parser of all transports, against recordings and any cutting of the bytes."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_exchanges import Recorded, expected, held, native, recorded

from bench.ollama.exchange import Call, Outcome, Reply
from bench.ollama.http_reader import HttpReader
from bench.ollama.reply_reader import Limits, ReplyReader

CALL = Call("/api/chat", b"{}", keep_text=True)


def read(wire: bytes, cuts: list[int], call: Call = CALL, limits: Limits | None = None) -> Reply:
    """Feed a response cut at these places, one read a piece, stamped 1000, 2000, ..."""
    limits = limits or Limits()
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
    assert read(whole, [], Call("/", b"", stream=False)).outcome in set(Outcome) - {Outcome.OK}


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


def test_line_after_done_is_malformed() -> None:
    assert read(stream(DONE, token("a")), []).outcome is Outcome.MALFORMED


def test_counters_are_verbatim_and_absent_is_none() -> None:
    done = {**DONE, "eval_duration": 0, "total_duration": 2**62, "remote_model": "gpt"}
    reply = read(stream(done), [])
    assert (reply.server.eval_count, reply.server.eval_duration) == (3, 0)
    assert (reply.server.total_duration, reply.server.load_duration) == (2**62, None)
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


def test_broken_compression() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
    packed = gzip.compress(BODY)
    cut = head + b"Content-Length: %d\r\n\r\n%b" % (len(packed) - 9, packed[:-9])
    assert read(cut, []).outcome is Outcome.DISCONNECTED
    assert read(head + b"Content-Length: 4\r\n\r\nnope", []).outcome is Outcome.MALFORMED
    other = head.replace(b"gzip", b"br") + b"Content-Length: 4\r\n\r\nnope"
    assert "'br'" in read(other, []).error


# --- errors and limits --------------------------------------------------------------------------


def error_response(body: bytes, status: int = 500, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, more, len(body), body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":"model \'x\' not found"}', "model 'x' not found"),
        (b'{"error":{"message":"m"}}', "m"),
        (b"  <html>bad gateway</html> ", "<html>bad gateway</html>"),
        (b"", ""),
        (b'{"error":"' + b"x" * 5000 + b'"}', "x" * 1000),
        (b"y" * 300_000, "y" * 1000),
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
    limits = Limits(line_bytes=1000)
    wire = stream(token("a" * 2000), DONE)
    for size in (1, 100, 10**9):
        reply = read(wire, evenly(wire, size), limits=limits)
        if size == 10**9:
            assert reply.outcome is Outcome.OK  # it was never kept
        else:
            assert reply.outcome is Outcome.MALFORMED and "1000 bytes" in reply.error


def test_long_body_is_refused() -> None:
    limits = Limits(body_bytes=1000)
    lines = stream(*[token("a" * 50)] * 20, DONE)
    assert "1000 bytes" in read(lines, evenly(lines, 300), limits=limits).error
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b" " * 2000
    reply = read(whole, evenly(whole, 100), Call("/", b"", stream=False), limits)
    assert reply.outcome is Outcome.MALFORMED and "1000 bytes" in reply.error


@pytest.mark.parametrize("size", [40, 300, 10**9])
def test_a_body_counts_once_however_it_is_read(size: int) -> None:
    lines = stream(*[token("a" * 50)] * 20, DONE)
    limits = Limits(body_bytes=len(lines))
    assert read(lines, evenly(lines, size), limits=limits).outcome is Outcome.OK


def test_compression_bomb_is_refused() -> None:
    packed = gzip.compress(b" " * 50_000_000)
    wire = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    reply = read(wire % (len(packed), packed), [], limits=Limits(body_bytes=10_000_000))
    assert reply.outcome is Outcome.MALFORMED


def test_long_head_is_refused() -> None:
    wire = b"HTTP/1.1 200 OK\r\n" + b"X-A: %b\r\n" % (b"a" * 500) * 100
    reply = read(wire, evenly(wire, 1000), limits=Limits(head_bytes=10_000))
    assert reply.outcome is Outcome.MALFORMED and "head" in reply.error


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
    reply = read(wire, [], Call("/api/chat", b"", stream=False, keep_text=True))
    assert (reply.thinking, reply.answer, reply.outcome) == ("hm", "Yes", Outcome.OK)
    assert reply.first_answer_ns is None and len(reply.chunk_ns) == 0
    assert reply.first_chunk_ns == 1000
