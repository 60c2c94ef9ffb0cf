"""How pages of Data Docs look. Great Expectations imports this module by name, hence its import on top."""

from __future__ import annotations

import re
from typing import Any

from great_expectations.render.view import DefaultJinjaPageView

from nightjar.quality.docs import STYLE

#: Whatever reaches out of the page, and controls that are dead without the scripts.
_OUTWARD = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<footer\b.*?</footer>|<button\b.*?</button>"
    r"|<strong>Actions</strong>.*?(?=<strong>Table of Contents)",
    re.DOTALL,
)
_HEAD = re.compile(r"<head>.*?</head>", re.DOTALL)


class SelfContainedPageView(DefaultJinjaPageView):  # type: ignore[misc]
    """The usual page without scripts, foreign styles, logo and newsletter."""

    def render(self, document: Any, template: str | None = None, **kwargs: Any) -> str:
        page = str(super().render(document, template, **kwargs))
        head = f'<head><meta charset="UTF-8"><title>Data quality</title><style>{STYLE}</style></head>'
        return _OUTWARD.sub("", _HEAD.sub(lambda _: head, page, count=1))
