"""What a proof finds wrong, named so that a machine can tell and said so that a person can mend it."""

from enum import StrEnum

from sera.records import Record


class Kind(StrEnum):
    """What is wrong."""

    # of the folder
    CHECKSUM = "checksum"
    """A file is not the one that the manifest names."""
    ROW_COUNT = "row_count"
    """There are more or fewer rows than the manifest says."""
    DUPLICATE_ID = "duplicate_id"
    """Two rows have one id."""
    OTHER_TOKENIZER = "other_tokenizer"
    """The dataset was cut and counted with another tokenizer."""
    OTHER_TOOLS = "other_tools"
    """A row defines other tools than the rows before it: it is of another harness profile."""
    FOREIGN_ROW = "foreign_row"
    """A row is of a run that is not among the dataset's sources."""
    # of the student
    NO_END = "no_end"
    """The end of a turn is not one token, so that the student cannot learn to stop."""
    NO_PAD = "no_pad"
    """There is no padding token."""
    PAD_IS_END = "pad_is_end"
    """Padding is the end of a turn, which is then masked with it and never learnt."""
    DOUBLE_BOS = "double_bos"
    """A conversation begins with two tokens for the beginning."""
    # of a row
    MALFORMED_ROW = "malformed_row"
    """A row is not what it should be."""
    INJECTED_MARK = "injected_mark"
    """A text holds what the tokenizer reads as the structure of the conversation."""
    UNRENDERABLE = "unrenderable"
    """The template refuses the row, or hides where turns begin."""
    NOTHING_TRAINED = "nothing_trained"
    """No token of the row is in the loss."""
    MASK = "mask"
    """The loss covers something that the assistant did not say, or leaves out something that it did."""
    TEXT_LOST = "text_lost"
    """The tokenizer has no tokens for a part of the text."""
    CALL_LOST = "call_lost"
    """A call was made, and the text has none."""
    CALL_UNREADABLE = "call_unreadable"
    """A server finds the mark of a call and cannot read it."""
    CALL_DIFFERS = "call_differs"
    """A server reads another call than the recorded one, or two servers read different ones."""
    CALL_EMPTY = "call_empty"
    """A call has no name."""
    CALL_TWICE = "call_twice"
    """A turn holds the same call twice."""
    CALL_UNDEFINED = "call_undefined"
    """A tool is called that is not defined: some servers drop such a call."""
    CALL_NESTED = "call_nested"
    """A call is wrapped in another one, or its arguments are a text that holds them."""
    NULL_ARGUMENT = "null_argument"
    """An argument is null where the tool allows none: a table library has filled gaps up."""
    EMPTY_REASONING = "empty_reasoning"
    """The student is taught to think nothing: the template adds empty `<think>` blocks."""
    REASONING_LOST = "reasoning_lost"
    """Reasoning was recorded, and the text has none."""
    PARITY = "parity"
    """A server would show the student another text than the one it was trained on."""
    CUT_TURN = "cut_turn"
    """A cut conversation does not end with an assistant's turn."""
    CUT_CALL = "cut_call"
    """A row ends within a turn or a call."""
    TOO_LONG = "too_long"
    """A row has more tokens than the student's context."""
    COUNT_DIFFERS = "count_differs"
    """A row has another number of tokens than it says."""


class Shown(Record, frozen=True, array_like=True):
    """One token for a person to look at."""

    text: str
    loss: bool
    here: bool = False
    """Whether this is the one that is wrong."""


class Fault(Record, frozen=True):
    """One thing that is wrong."""

    kind: Kind
    sample: str
    """Id of the row, empty if it is not about one."""
    turn: int | None
    """Index of the message, None if it is not about one."""
    message: str
    """What is wrong, and the cure."""
    tokens: tuple[Shown, ...] = ()
    """The tokens around the place."""
