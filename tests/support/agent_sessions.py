"""Session files as Claude Code and the Codex CLI write them."""

TIME = "2026-06-01T08:00:{:02d}.000Z"


def line(number, message, parent=None, **more):
    kind = "assistant" if message["role"] == "assistant" else "user"
    return {
        "uuid": f"u{number}",
        "parentUuid": parent,
        "sessionId": "S",
        "type": kind,
        "isSidechain": False,
        "timestamp": TIME.format(number),
        "message": message,
        **more,
    }


def answer(part, name="m1", output=7):
    usage = {
        "input_tokens": 4,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 900,
        "output_tokens": output,
    }
    return {"id": name, "role": "assistant", "content": [part], "usage": usage}


def result(name, text):
    part = {"type": "tool_result", "tool_use_id": name, "content": text}
    return {"role": "user", "content": [part]}


CALL = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "x"}}
CLAUDE = (
    {"type": "summary", "summary": "earlier", "leafUuid": "z"},
    line(0, {"role": "user", "content": "Fix it."}),
    line(2, answer({"type": "thinking", "thinking": "hm"}, output=1)),
    line(3, answer({"type": "text", "text": "I look."}, output=1)),
    line(4, answer(CALL)),
    line(5, result("t1", "content")),
    line(6, answer({**CALL, "id": "t2"})),  # the same answer, written after a first result
    line(7, result("t2", [{"type": "text", "text": "more"}])),
    line(9, answer({"type": "text", "text": "Done."}, "m2", 3)),
)


def item(number, **payload):
    return {"timestamp": TIME.format(number), "type": "response_item", "payload": payload}


def tokens(number, total, last):
    usage = {
        "input_tokens": last,
        "cached_input_tokens": last - 10,
        "output_tokens": 6,
        "reasoning_output_tokens": 2,
        "total_tokens": last + 6,
    }
    info = {"total_token_usage": {"total_tokens": total}, "last_token_usage": usage}
    return {
        "timestamp": TIME.format(number),
        "type": "event_msg",
        "payload": {"type": "token_count", "info": info},
    }


def says(role, text):
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


CODEX = (
    {
        "timestamp": TIME.format(0),
        "type": "session_meta",
        "payload": {"id": "X", "instructions": "You are an agent."},
    },
    item(1, **says("user", "Fix it.")),
    item(2, type="reasoning", summary=[]),
    item(3, type="function_call", name="shell", arguments='{"cmd": "ls"}', call_id="c1"),
    item(5, type="function_call_output", call_id="c1", output="a b"),
    tokens(5, 106, 100),
    tokens(5, 106, 100),
    item(8, **says("assistant", "Done.")),
    tokens(8, 262, 150),
)
