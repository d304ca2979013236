"""The page of questions: `sdlearn/questions.json` as forms that judge themselves."""

import json
import re
from html import escape
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent.parent
INTRODUCTION = """# Questions

Sixty questions on all lessons. Choose an answer and press *Commit*: the first choice
counts. A wrong one is told what it believes, and which cell of which lesson shows that
it is not so. Nothing that you choose leaves this page.
"""
# Colors are the theme's, so that both of its faces are readable.
STYLE = """<style>
.question fieldset {
  border: 1px solid var(--pst-color-border);
  border-radius: 8px;
  margin: 0 0 1rem;
  padding: 0 1rem 1rem;
}
.question legend {
  float: left; /* into the frame */
  width: 100%;
  padding: 1rem 0 0.5rem;
  margin: 0;
  font-size: 1rem;
  font-weight: 600;
}
.question label {
  clear: both;
  display: block;
  padding: 0.25rem 0;
}
.question button {
  margin-top: 0.5rem;
  padding: 0.25rem 1rem;
  border: 1px solid var(--pst-color-text-base);
  border-radius: 4px;
  color: var(--pst-color-text-base);
  background: var(--pst-color-surface);
}
.question code {
  overflow-wrap: anywhere; /* a phone is narrow */
}
.question button:disabled {
  opacity: 0.5;
}
.question [role="status"] {
  margin: 0.5rem 0 0;
}
</style>
"""
SCRIPT = """<script>
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches(".question")) return;
  event.preventDefault();
  const chosen = form.querySelector("input:checked");
  const told = form.querySelector('[role="status"]');
  if (!chosen) { told.textContent = "Choose one first."; return; }
  told.innerHTML = form.querySelectorAll("template")[chosen.value].innerHTML;
  form.dataset.judged = chosen.value === form.dataset.right ? "right" : "wrong";
  for (const part of form.querySelectorAll("input, button")) part.disabled = true;
  const right = document.querySelectorAll('[data-judged="right"]').length;
  const all = document.querySelectorAll("[data-judged]").length;
  document.getElementById("right-so-far").textContent = `${right} of ${all} right so far.`;
});
</script>
"""
SCORE = '<p id="right-so-far" role="status">None answered yet.</p>\n'
WITHOUT_SCRIPTS = (
    "<noscript><p>This page needs JavaScript to judge an answer.</p></noscript>\n"
)


def marked(text):
    """Text as HTML; what stands between backticks is code."""
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text, quote=False))


def address(cell):
    """The page of the refuting cell; browsers that can go to its text."""
    text = quote(cell["shows"], safe="").replace(
        "-", "%2D"
    )  # a dash has a meaning there
    return f"lessons/{cell['notebook']}.html#:~:text={text}"


def verdict(question, number):
    """What is told of one choice."""
    right = question["choices"][question["right"]]
    belief = question["misconceptions"][number]
    opening = "Right." if number == question["right"] else f"Not quite: {right}."
    cell = question["refuted_by"]
    link = f'<a href="{address(cell)}">{cell["notebook"]}</a>'
    seen = f"It is seen in {link}: <code>{escape(cell['shows'])}</code>"
    told = [opening, question["why"], belief or ""]
    return f"{' '.join(marked(one) for one in told if one)} {seen}"


def form(question):
    """One question; without empty lines, which would end the HTML in Markdown."""
    name = question["id"]
    lines = [
        f'<form class="question" id="{name}" data-right="{question["right"]}">',
        f"<fieldset><legend>{marked(question['text'])}</legend>",
    ]
    for number, choice in enumerate(question["choices"]):
        field = f'<input type="radio" name="{name}" value="{number}">'
        lines.append(f"<label>{field} {marked(choice)}</label>")
    lines += ['<button type="submit">Commit</button>', '<p role="status"></p>']
    for number in range(len(question["choices"])):
        lines.append(f"<template>{verdict(question, number)}</template>")
    lines.append("</fieldset></form>\n")
    return "\n".join(lines)


def lessons():
    """The name and the title of each main lesson, by its number."""
    found = {}
    for path in sorted((ROOT / "nbs").glob("[0-9][0-9]_*.ipynb")):
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
        title = "".join(first["source"]).splitlines()[0].removeprefix("# ")
        found[path.name[:2]] = path.stem, title
    return found


def page():
    """The whole page, in Markdown, a section for each lesson."""
    text = (ROOT / "sdlearn" / "questions.json").read_text(encoding="utf-8")
    bank = json.loads(text)
    parts = [INTRODUCTION, STYLE, SCRIPT, WITHOUT_SCRIPTS, SCORE]
    for number, (name, title) in lessons().items():
        forms = [form(question) for question in bank if question["lesson"] == number]
        if forms:
            parts += [f"## [{title}](lessons/{name}.ipynb)\n", *forms]
    return "\n".join(parts)


def write(folder):
    """The page beside the others of the source folder, and its line in the contents."""
    (folder / "questions.md").write_text(page(), encoding="utf-8")
    contents = "\n```{toctree}\n:caption: Practice\n:maxdepth: 1\nquestions\n```\n"
    with (folder / "index.md").open("a", encoding="utf-8") as index:
        index.write(contents)
