"""The anchors of headings."""


def as_jupyterlab(heading):
    """JupyterLab's anchors, which the links of the lessons have."""
    return heading.replace(" ", "-")
