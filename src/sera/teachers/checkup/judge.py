"""Judgements: what came back, as findings. Nothing is sent here."""

import re
from typing import Any

import msgspec

from sera.teachers.chat_wire import decode_usage
from sera.teachers.checkup.findings import Finding, good, note, problem
from sera.teachers.checkup.probe import Answer, part, parts
from sera.teachers.checkup.texts import unparsed_call
from sera.untrusted import decode

Json = dict[str, Any]
_TRAJECTORY = 32_000
"""Tokens of a whole trajectory by the method's statistics."""
_REFUSED = (401, 402, 403)
_LATER = (429, 503, 529)
"""Said by a server that loads its model, or has too much to do."""
_LIMITS = (
    r"maximum context length (?:is|of) (\d+)",
    r"context length (?:is|of) (?:only )?(\d+)",
    r"context (?:size|window)[^\d]{0,20}(\d+)",
    r"max_model_len[^\d]{0,5}(\d+)",
    r'"n_ctx"\s*:\s*(\d+)',
    r"at most (\d+) tokens",
)
"""Wordings of vLLM, SGLang, llama.cpp and OpenAI, in which the limit stands."""


def failed(name: str, answer: Answer, key_name: str) -> Finding:
    """Why a request brought no answer."""
    text = f"{f'status {answer.status}: ' if answer.status else ''}{answer.text or 'an empty answer'}"
    words = answer.text.lower()
    if answer.late or answer.status in _LATER:
        cure = (
            "the server is there, but loading the model or busy: wait until its log says that it is ready, "
            "and give --timeout more if it is only slow"
        )
    elif not answer.status:
        cure = "start the server, and check address and port"
    elif 300 <= answer.status < 400:
        cure = "the address has moved: give the new one, often https:// instead of http://"
    elif answer.html:
        text = f"status {answer.status} with a web page instead of JSON"
        cure = "the base URL is that of the API, and usually ends in /v1"
    elif answer.status in _REFUSED:
        cure = f"the key was not accepted or has no credit: set it in {key_name}"
    elif "auto" in words and "tool" in words and "requires" in words:
        cure = "vLLM: launch it with --enable-auto-tool-choice --tool-call-parser NAME"
    elif "--jinja" in words:
        cure = "llama.cpp: launch it with --jinja"
    elif "max_completion_tokens" in words:
        cure = "--set teacher.max_tokens_field=max_completion_tokens; this check cannot ask it that way"
    elif answer.status == 404:
        cure = "check --model and the base URL, which usually ends in /v1"
    elif answer.status == 200:
        cure = "it answers, but not as the chat-completions protocol has it: check the base URL"
    else:
        cure = "the server's log says more"
    return problem(name, text, cure, needed=True)


def listed(answer: Answer, model: str) -> Finding:
    """Whether the list of models has ours."""
    names = [str(entry.get("id")) for entry in entries(answer)]
    if not names:
        return note("model", f"the server lists no models ({answer.text or 'nothing'}); going on")
    if model in names:
        return good("model", f"{model} is listed")
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return problem("model", f"{model} is not among {shown}", "give --model one of these names")


def entries(answer: Answer) -> list[Json]:
    """The models that `/models` lists."""
    return parts(answer.body, "data")


def named(answer: Answer, model: str) -> Finding:
    """Whether the answer is in our model's name: sera refuses another's, dates and builds apart."""
    said = str(answer.body.get("model") or "")
    ours, theirs = (name.lower().rpartition("/")[2].partition(":")[0] for name in (model, said))
    if not said or ours.startswith(theirs) or theirs.startswith(ours):
        return good("name", f"it answers as {said}" if said else "it does not say which model answers")
    cure = f"if that is the same model: --set 'teacher.served_as=[\"{said}\"]'"
    return problem("name", f"it answers as {said}, not as {model}", cure, needed=True)


def tool_calls(answer: Answer) -> Finding:
    """Whether a call came as structured `tool_calls`."""
    if answer.calls:
        names = ", ".join(str(part(call, "function").get("name")) for call in answer.calls)
        return good("tool calls", f"structured: {names}")
    if found := unparsed_call(answer.content):
        return problem("tool calls", f"left in the text as {found[0]}", found[1], needed=True)
    said = " ".join(answer.content[:80].split()) or "nothing"
    return problem(
        "tool calls",
        f"none, although one was asked for; it said: {said}",
        "check that the model can use tools and that its chat template has them; on llama.cpp use --jinja",
        needed=True,
    )


def arguments(answer: Answer) -> Finding:
    """Whether the arguments of each call are a JSON object."""
    if not answer.calls:
        return note("arguments", "not known, since there was no call")
    for call in answer.calls:
        given = part(call, "function").get("arguments")
        if isinstance(given, dict):
            return note("arguments", "an object instead of text; sera reads both")
        try:
            decode(given or "", Json)
        except (msgspec.DecodeError, TypeError):
            return problem(
                "arguments",
                f"not a JSON object: {str(given)[:80]}",
                "the parser does not fit the model, or the answer was cut off: see the launch command",
                needed=True,
            )
    return good("arguments", "valid JSON")


def reasoning(answer: Answer) -> Finding:
    """Where the thinking went."""
    for field in ("reasoning_content", "reasoning"):
        if answer.message.get(field):
            return good("reasoning", f"apart, in {field}")
    if "</think>" in answer.content or "<think>" in answer.content:
        cure = "sera reads it from there; a --reasoning-parser on the server keeps it apart"
        return note("reasoning", "inline, in <think> tags", cure)
    return note("reasoning", "none came: the model does not think, or the server drops it")


def several(answer: Answer) -> Finding:
    """How many calls come in one answer that is asked for two, by a request that wants one at most."""
    name, identities = "several calls", [str(call.get("id") or "") for call in answer.calls]
    if not answer.ok:
        cure = "if that is because of parallel_tool_calls=false: sera then asks without it"
        return note(name, f"not answered: {answer.text}", cure)
    if len(identities) < 2:
        return good(name, "one call at a time, as sera asks for by parallel_tool_calls=false")
    equal = " with equal ids, for which sera gives new ones" * (len(set(identities)) < len(identities))
    cure = "sera refuses such answers, and five in a row end a rollout: a newer server heeds it"
    return problem(
        name, f"{len(identities)} calls{equal}, although parallel_tool_calls=false asks for one", cure
    )


def streaming(answer: Answer) -> Finding:
    """Whether a stream carries tool calls, whole."""
    name, cure = "streaming", "leave teacher.stream off, as it is by default"
    if not answer.events:
        return problem(name, f"no stream came: {answer.text}", cure)
    deltas = [part(choice, "delta") for event in answer.events for choice in parts(event, "choices")]
    pieces = [piece for delta in deltas for piece in parts(delta, "tool_calls")]
    text = "".join(str(part(piece, "function").get("arguments") or "") for piece in pieces)
    if not pieces:
        return problem(name, "the stream holds no tool call", f"{cure}, or try another parser")
    try:
        decode(text, Json)
    except msgspec.DecodeError:
        if len({piece.get("index") for piece in pieces}) < 2:
            return problem(name, "the pieces of a tool call do not add up to JSON", cure)
    counted = any(decode_usage(event.get("usage")) for event in answer.events)
    return good(name, f"{len(pieces)} pieces of a tool call{'' if counted else '; no usage at the end'}")


def usage(answer: Answer) -> Finding:
    """Whether tokens are counted."""
    found = decode_usage(answer.body.get("usage"))
    if found:
        return good("usage", f"{found[0].prompt} prompt and {found[0].completion} answer tokens")
    cure = "a budget in dollars then counts every call at its worst: use a server that counts"
    return problem("usage", "not reported", cure)


def cached(first: Answer, again: Answer) -> Finding:
    """Whether a prefix sent a second time is found in the cache, and said to be."""
    name = "prompt cache"
    details = part(again.body, "usage").get("prompt_tokens_details")
    found = decode_usage(again.body.get("usage"))
    if found and found[0].cached:
        return good(name, f"{found[0].cached} of {found[0].prompt} prompt tokens the second time")
    if not first.ok or not again.ok:
        return note(name, f"not known: {again.text}")
    if details is None:
        cure = "vLLM: --enable-prompt-tokens-details; SGLang: --enable-cache-report"
        return problem(name, "not reported, so forecasts and budgets count every prompt in full", cure)
    cure = "vLLM: --enable-prefix-caching; behind a router, send a conversation always to the same server"
    return problem(name, "nothing was cached the second time: rollouts take far longer so", cure)


def context(size: int | None, where: str) -> Finding:
    """Whether a trajectory fits."""
    if size is None:
        return note("context", "not told; --probe-context finds it by sending long prompts")
    if size < _TRAJECTORY:
        cure = "vLLM: --max-model-len; SGLang: --context-length; llama.cpp: -c"
        return problem(
            "context", f"{size:,} tokens ({where}); a trajectory takes about {_TRAJECTORY:,}", cure
        )
    return good("context", f"{size:,} tokens ({where})")


def room_of(entry: Json) -> int | None:
    """The context that a server lists with a model, by vLLM's name for it, OpenRouter's or llama.cpp's."""
    sizes = (entry.get("max_model_len"), entry.get("context_length"), part(entry, "meta").get("n_ctx"))
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)


def limit_in(answer: Answer) -> int | None:
    """The context's size in the words of a refusal."""
    for wording in _LIMITS:
        if found := re.search(wording, answer.text, re.IGNORECASE):
            return int(found[1])
    return None


def seeded(one: Answer, two: Answer) -> Finding:
    """Whether equal seeds give equal answers."""
    if not (one.ok and two.ok):
        return note("seed", f"not known: {one.text if not one.ok else two.text}")
    if one.message == two.message:
        return good("seed", "equal seeds gave equal answers")
    return note("seed", "equal seeds gave different answers: no run repeats exactly, which harms no data")
