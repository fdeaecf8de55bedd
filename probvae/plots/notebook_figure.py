"""A matplotlib figure that a notebook shows, whether or not the notebook imports pyplot."""

import io
from typing import Any

from matplotlib.figure import Figure

SHARPNESS = 2  # pixels of the image for each pixel on the page


class NotebookFigure(Figure):
    """A ``Figure`` that is its own image as the last expression of a cell.

    IPython shows a plain ``Figure`` only after something has imported pyplot. With pyplot, IPython's
    own settings apply, such as ``%config InlineBackend.figure_format = "svg"``.
    """

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=SHARPNESS * self.dpi)
        width, height = (round(inches * self.dpi) for inches in self.get_size_inches())
        return {"image/png": buffer.getvalue()}, {"image/png": {"width": width, "height": height}}
