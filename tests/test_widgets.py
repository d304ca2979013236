"""Sliders and boxes of the lessons, as their code says it: each owns what it draws, and draws on release."""

import ast
import builtins
import warnings

import pytest

from sdlearn.core import show
from sdlearn.parts import Settings
from sdlearn.pipeline import generate

from .figures import code_cells, notebooks

NOTEBOOKS = notebooks()
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
# What calls its function while it is dragged or typed into, unless told not to.
LIVE = {"IntSlider", "FloatSlider", "FloatLogSlider", "SelectionSlider"}
LIVE |= {"IntRangeSlider", "FloatRangeSlider", "SelectionRangeSlider"}
LIVE |= {"Text", "Textarea", "BoundedIntText", "BoundedFloatText", "Combobox"}
FUNCTIONS = ast.FunctionDef | ast.ClassDef
COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
INNER = FUNCTIONS | COMPREHENSIONS | ast.Lambda  # names bound in them are their own


def cells_of(path):
    """The syntax trees of a notebook's code cells."""
    return [ast.parse(source) for source in code_cells(path)]


def called(node):
    """The name of what a call calls."""
    function = node.func
    return getattr(function, "attr", None) or getattr(function, "id", None)


def calls(tree, *names):
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node for node in nodes if called(node) in names]


# On release


def draws_on_release(call):
    said = {keyword.arg: keyword.value for keyword in call.keywords}
    value = said.get("continuous_update")
    return isinstance(value, ast.Constant) and value.value is False


def number_or_pair(node):
    """Of these `interact` makes a slider of its own."""
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Tuple):
        return all(map(number_or_pair, node.elts))
    return isinstance(node, ast.Constant) and type(node.value) in (int, float, str)


def restless(tree):
    """What in a cell draws while it is dragged."""
    found = [call for call in calls(tree, *LIVE) if not draws_on_release(call)]
    for call in calls(tree, "interact"):
        given = [keyword.value for keyword in call.keywords]
        found += [value for value in given if number_or_pair(value)]
    return [ast.unparse(node) for node in found]


@each_notebook
def test_widgets_draw_on_release(path):
    found = [what for tree in cells_of(path) for what in restless(tree)]
    assert not found, f"{found}: pass continuous_update=False"


# Their own data


def bound_by(tree):
    """The names that a cell binds, each with a text of what it is bound to."""
    found = {}
    for node in outside_functions(tree):
        if isinstance(node, FUNCTIONS):
            found[node.name] = ast.unparse(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                found[name] = f"{getattr(node, 'module', '')} {alias.name}"
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found[node.id] = None
    return found


def outside_functions(tree):
    """What runs in the notebook itself: neither bodies nor comprehensions."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, INNER):
            yield from outside_functions(node)


def names_in(nodes, *contexts):
    names = [n for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)]
    return {name.id for name in names if isinstance(name.ctx, contexts)}


def reads(definition):
    """The names that a function takes from the notebook when it is called, not before."""
    own = names_in(definition.body, ast.Store, ast.Del)
    own |= {node.arg for node in ast.walk(definition) if isinstance(node, ast.arg)}
    inner = [node for node in ast.walk(definition) if isinstance(node, FUNCTIONS)]
    own |= {node.name for node in inner}
    return names_in(definition.body, ast.Load) - own - set(dir(builtins))


def drawn_by(tree):
    """The functions that a cell's widgets call."""
    given = [call.args[0] for call in calls(tree, "interact", "observe") if call.args]
    return {n.id for node in given for n in ast.walk(node) if isinstance(n, ast.Name)}


def needs(names, definitions):
    """All that functions of the notebook read, and the functions that they call."""
    found, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        if name in definitions:
            waiting |= reads(definitions[name]) - found
    return found


def borrowed(cells):
    """What widgets read and a later cell binds to something else."""
    definitions, bound, found = {}, {}, []
    for place, tree in enumerate(cells):
        bound |= bound_by(tree)
        here = [n for n in outside_functions(tree) if isinstance(n, FUNCTIONS)]
        definitions |= {node.name: node for node in here}
        needed = needs(drawn_by(tree), definitions)
        for later in cells[place + 1 :]:
            again = bound_by(later)
            for name in sorted(needed & again.keys()):
                if again[name] is None or again[name] != bound.get(name):
                    found.append(name)
    return found


@each_notebook
def test_widgets_own_what_they_draw(path):
    found = borrowed(cells_of(path))
    assert not found, (
        f"a later cell binds {sorted(set(found))} again, and the slider above it reads "
        "these names: give them to its function as `fixed(...)` or defaults"
    )


# What a prompt box says


def has_box(source):
    """Does a cell hold a prompt box?"""
    return "interact(" in source and "prompt=Text(" in source


BOXES = [path for path in NOTEBOOKS if any(map(has_box, code_cells(path)))]


def function_of_box(path, parts):
    """The function that a lesson gives to its prompt box."""
    kept = []
    names = {
        "parts": parts,
        "prompt": "a red cat",
        "warnings": warnings,
        "generate": generate,
        "Settings": Settings,
        "show": show,
    }
    source = next(filter(has_box, code_cells(path)))
    tree = ast.parse(source.replace("interact(", "kept.append("))
    for call in calls(tree, "append"):
        call.keywords.clear()
    names["kept"] = kept
    exec(compile(tree, path.name, "exec"), names)
    return kept[0]


@pytest.mark.parametrize("path", BOXES, ids=lambda p: p.stem)
def test_a_prompt_box_names_unknown_words(path, shipped, capsys):
    function = function_of_box(path, shipped)
    for _ in range(2):  # Python says the same warning only once
        function("a purple zebra", seed=0, guidance=5.0, parts=shipped)
        assert "zebra" in capsys.readouterr().out
    function("a red cat", seed=0, guidance=5.0, parts=shipped)
    assert not capsys.readouterr().out


# Errors


@each_notebook
def test_run_all_goes_on_to_the_end(path):
    """The tests run every cell, and save what comes of it: no cell may end in an error."""
    sources = code_cells(path)
    tags = ("NBVAL_RAISES_EXCEPTION", "NBVAL_SKIP", "raises-exception")
    silenced = [source for source in sources if any(tag in source for tag in tags)]
    assert not silenced, "Run All knows no such marker: catch the error and show it"
    assert '"output_type": "error"' not in path.read_text(encoding="utf-8")


# The tests themselves


def trees(*sources):
    return [ast.parse(source) for source in sources]


OWN = [
    ["def f(t, x=x): return x", "interact(f, t=w)", "x = 2"],
    ["def f(t, x): return x", "interact(f, t=w, x=fixed(x))", "x = 2"],
    ["def f(t):\n    x = 1\n    return x", "interact(f, t=w)", "x = 2"],
    ["x = 1", "x = 2\ndef f(t): return x", "interact(f, t=w)", "y = [x for x in z]"],
    ["from a import x", "def f(t): return x", "interact(f)", "from a import x"],
    ["def f(t): return x", "interact(f, t=w)", "def g(x):\n    x = 2"],
]
BORROWED = [
    ["def f(t): return x", "interact(f, t=w)", "x = 2"],
    ["def f(t): return x", "interact(f, t=w)", "for x in y: pass"],
    ["def f(t): return x", "interact(f, t=w)", "(a, x), b = y"],
    ["def f(t): return x", "interact(f, t=w)", "with y as x: pass"],
    ["def f(t): return x", "interact(f, t=w)", "x += 1"],
    ["def f(t): return x", "interact(f, t=w)", "del x"],
    ["def f(t): return x()", "interact(f, t=w)", "def x(): return 2"],
    ["from a import x", "def f(t): return x", "interact(f)", "from b import x"],
    ["def g(): return x", "def f(t): return g()", "interact(f)", "x = 2"],
    ["def f(c): s.value = x", "s.observe(f, 'value')", "x = 2"],
    ["def f(t): return x", "interact(lambda t: f(t), t=w)", "if y:\n    x = 2"],
]


@pytest.mark.parametrize("sources", OWN, ids=str)
def test_what_a_widget_owns_is_not_complained_of(sources):
    assert not borrowed(trees(*sources))


@pytest.mark.parametrize("sources", BORROWED, ids=str)
def test_what_a_widget_borrows_is_found(sources):
    assert borrowed(trees(*sources)) == ["x"]


RESTLESS = ["IntSlider(1)", "widgets.Text('')", "interact(f, t=(0, 9))"]
RESTLESS += ["interact(f, t=5)", "FloatSlider(continuous_update=True)"]
RESTFUL = ["IntSlider(1, continuous_update=False)", "interact(f, t=['a', 'b'])"]
RESTFUL += ["interact(f, x=fixed(5))", "Checkbox(True)", "Dropdown(options=[1])"]


@pytest.mark.parametrize("source", RESTLESS)
def test_what_draws_while_dragged_is_found(source):
    assert restless(ast.parse(source))


@pytest.mark.parametrize("source", RESTFUL)
def test_what_draws_on_release_is_not_complained_of(source):
    assert not restless(ast.parse(source))
