"""The stages in order, as processes: what is done stays, what a change concerns is done again."""

import json
import signal
import subprocess
import time

import pytest
from conftest import Place  # noqa: F401  (for its type)
