"""Redaction: known secrets and token shapes leave every text before it is stored or sent.

    text ─► known values ─► token shapes ─► private keys ─► text with placeholders

A placeholder is `[redacted KIND]`, or `[redacted KIND TAG]` where the secret is long and random enough that
four hex digits of its hash give nothing away. It is a function of the secret alone: the same secret reads
the same in every rollout of every run, and a resumed run writes what an uninterrupted one would have. See
`docs/text-security.md` for what is recognised and what is not.
"""

from sera.redaction.config import RedactionConfig
from sera.redaction.messages import clean_message
from sera.redaction.redactor import OFF, Redactor, make_redactor, placeholders

__all__ = ["OFF", "RedactionConfig", "Redactor", "clean_message", "make_redactor", "placeholders"]
