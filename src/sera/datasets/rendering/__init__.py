"""A dataset's rows as its student sees them: text, tokens and the loss mask. `render_row` is the way in."""

from sera.datasets.rendering.render import Rendered, Span, render_row, render_rows
from sera.datasets.rendering.student import Student, load_student
from sera.datasets.rendering.template import CHATML, Template

__all__ = ["CHATML", "Rendered", "Span", "Student", "Template", "load_student", "render_row", "render_rows"]
