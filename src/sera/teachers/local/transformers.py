"""A folder of weights in the Hugging Face form, run by transformers in a thread of this process.

For checkpoints just trained, on a processor or one GPU, one request at a time; a server such as vLLM is
many times quicker where there is one. The conversation is laid out by the folder's own chat template. What
was computed for the last conversations is kept, one for each `parallel`, so that a rollout's next step reads
only what is new.

Equal requests with equal seeds get equal answers as long as equal parts of them were kept: what is computed
in other pieces differs in the last bits.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from sera.errors import ContextOverflow, ModelError, TeacherRefused, boundary
from sera.formats.messages import encode_message, split_reasoning
from sera.models import Weights
from sera.records import Message, Usage
from sera.teachers.contract import ChatRequest, Reply, Teacher
from sera.teachers.local.config import LocalConfig

_HALF = "bfloat16"
Json = dict[str, Any]


@asynccontextmanager
async def transformers_teacher(weights: Weights, config: LocalConfig) -> AsyncIterator[Teacher]:
    """The model in memory for as long as the block. Raises `ModelError` if it cannot be loaded."""
    model = await asyncio.to_thread(_Model, weights, config)
    with ThreadPoolExecutor(1, "sera-model") as thread:
        yield _TransformersTeacher(model, thread)


class _TransformersTeacher:
    """Requests in the order in which they come, one at a time: the thread is the only one."""

    def __init__(self, model: "_Model", thread: ThreadPoolExecutor) -> None:
        self._model = model
        self._thread = thread

    async def __aenter__(self) -> "_TransformersTeacher":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @property
    def settings(self) -> Json:
        """Nothing: `LocalTeacher` records what matters."""
        return {}

    async def complete(self, request: ChatRequest) -> Reply:
        """One answer. A cancelled request ends with the token under way, before the next begins."""
        given_up = threading.Event()
        loop = asyncio.get_running_loop()
        if hear := request.hear:
            request = msgspec.structs.replace(
                request, hear=lambda piece: loop.call_soon_threadsafe(hear, piece) and None
            )
        try:
            return await loop.run_in_executor(self._thread, self._model.answer, request, given_up)
        finally:
            given_up.set()


class _Conversation(msgspec.Struct):
    """Tokens whose keys and values are kept."""

    tokens: list[int]
    cache: Any


class _Model:
    def __init__(self, weights: Weights, config: LocalConfig) -> None:
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as missing:
            raise ModelError(f'{weights.path} needs transformers: pip install "sera[train]"') from missing
        self._torch = torch
        self._config = config
        cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
        if config.threads:
            torch.set_num_threads(config.threads)
        # What the library raises for broken weights is of many kinds.
        with boundary(ModelError, f"the weights in {weights.path} cannot be loaded", Exception):
            self._tokenizer = AutoTokenizer.from_pretrained(weights.path, local_files_only=True)
            self._model = AutoModelForCausalLM.from_pretrained(
                weights.path, dtype=getattr(torch, _HALF), local_files_only=True
            ).to("cuda" if cuda else "cpu")
        self._model.eval()
        self._limit = min(config.context, self._model.config.max_position_embeddings)
        self._kept: list[_Conversation] = []

    def answer(self, request: ChatRequest, given_up: threading.Event) -> Reply:
        """Continue the conversation; what has come of it so far, if nobody waits for it any more."""
        prompt = self._prompt(request)
        if request.sampling.must_call:
            raise TeacherRefused("a folder of weights is asked as it is: no tool call can be demanded of it")
        room = min(request.sampling.max_tokens or self._config.max_tokens, self._limit - len(prompt))
        if room <= 0:
            raise ContextOverflow(f"the conversation has {len(prompt)} tokens, the model reads {self._limit}")
        kept, shared = self._kept_for(prompt)
        written = self._generate(prompt, kept, room, request, given_up)
        self._keep(kept)
        ended = written[-1:] and written[-1] in self._ends()
        text = self._tokenizer.decode(written[:-1] if ended else written, skip_special_tokens=False)
        stops = [at for stop in request.sampling.stop if (at := text.find(stop)) >= 0]
        ended = ended or bool(stops)
        reasoning, content = split_reasoning(text[: min(stops)] if stops else text)
        return Reply(
            message=Message(role="assistant", content=content, reasoning=reasoning),
            finish_reason="stop" if ended else "length",
            usage=Usage(calls=1, prompt=len(prompt), cached=shared, completion=len(written)),
        )

    def _prompt(self, request: ChatRequest) -> list[int]:
        with boundary(TeacherRefused, "the model's chat template refuses the conversation", Exception):
            tokens: list[int] = self._tokenizer.apply_chat_template(
                [_readable(message) for message in request.messages],
                tools=request.tools or None,
                add_generation_prompt=True,
                return_dict=False,
            )
        return tokens

    def _kept_for(self, prompt: list[int]) -> tuple[_Conversation, int]:
        """The kept conversation that begins most like this one, cut to what they share; taken out."""
        from transformers import DynamicCache

        shares = [_shared(one.tokens, prompt) for one in self._kept]
        best = max(range(len(shares)), key=shares.__getitem__, default=-1)
        if best < 0 or not shares[best]:
            return _Conversation([], DynamicCache(config=self._model.config)), 0
        kept, shared = self._kept.pop(best), min(shares[best], len(prompt) - 1)
        if surplus := kept.cache.get_seq_length() - shared:
            kept.cache.crop(-surplus)
        return kept, shared

    def _generate(
        self,
        prompt: list[int],
        kept: _Conversation,
        room: int,
        request: ChatRequest,
        given_up: threading.Event,
    ) -> list[int]:
        from transformers import StoppingCriteriaList

        torch, own = self._torch, request.sampling
        temperature = self._config.temperature if own.temperature is None else own.temperature
        hot = temperature > 0

        def enough(tokens: Any, _: Any, **__: Any) -> Any:
            return torch.full((len(tokens),), given_up.is_set(), device=tokens.device)

        torch.manual_seed(request.seed)
        with torch.inference_mode():
            whole = self._model.generate(
                torch.tensor([prompt], device=self._model.device),
                attention_mask=torch.ones((1, len(prompt)), dtype=torch.long, device=self._model.device),
                past_key_values=kept.cache,
                max_new_tokens=room,
                do_sample=hot,
                temperature=temperature if hot else None,
                top_p=own.top_p if hot else None,
                top_k=None,
                eos_token_id=sorted(self._ends()),
                pad_token_id=min(self._ends()),
                stopping_criteria=StoppingCriteriaList([enough]),
                stop_strings=list(own.stop) or None,
                tokenizer=self._tokenizer if own.stop else None,
                streamer=self._streamer(request.hear) if request.hear and not own.stop else None,
            )
        tokens: list[int] = whole[0].tolist()
        kept.tokens = tokens[: kept.cache.get_seq_length()]
        return tokens[len(prompt) :]

    def _streamer(self, hear: Callable[[str], None]) -> Any:
        """Tells `hear` the words of an answer as they become whole."""
        from transformers import TextStreamer

        ends = self._ends()

        class Told(TextStreamer):  # type: ignore[misc]  # of a library without types
            def put(self, value: Any) -> None:
                """All of the prompt, then a token at a time."""
                if self.next_tokens_are_prompt or int(value.flatten()[-1]) not in ends:
                    super().put(value)

            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002
                """A piece."""
                hear(text)

        return Told(self._tokenizer, skip_prompt=True, skip_special_tokens=False)

    def _keep(self, conversation: _Conversation) -> None:
        self._kept = [*self._kept, conversation][-self._config.parallel :]

    def _ends(self) -> set[int]:
        """Tokens that end a turn."""
        told = self._model.generation_config.eos_token_id
        several = told if isinstance(told, list) else [told]
        return {end for end in (*several, self._tokenizer.eos_token_id) if end is not None}


def _readable(message: Message) -> Json:
    """A message as chat templates want it: arguments as an object, where they are one."""
    wire = encode_message(message)
    for call in wire.get("tool_calls", ()):
        call["function"]["arguments"] = msgspec.json.decode(call["function"]["arguments"])
    return wire


def _shared(one: list[int], other: list[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
