"""The teacher's versions of the notebooks: what students get, and the marks nbgrader gives."""

import contextlib
import csv
import functools
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from teach import report, versions
from teach.variants import VARIATIONS, choose, vary
from teach.versions import exercises, graded_version, solution_version, student_version
from tests.figures import ROOT, notebooks
from tests.notebooks import read

NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gil"]
LESSON = "04_denoiser"


@functools.cache
def master(stem):
    return read(ROOT / f"nbs/{stem}.ipynb")


WITH_EXERCISES = [
    path.stem for path in notebooks() if "# exercise" in path.read_text("utf-8")
]
WITH_EXERCISES = [o for o in WITH_EXERCISES if any(exercises(master(o).cells))]


def answers_in(nb):
    """The cells that are answered, by what nbgrader calls them."""
    marked = [cell for cell in nb.cells if "nbgrader" in cell.metadata]
    named = {cell.metadata.nbgrader.grade_id: cell for cell in marked}
    return {name: cell for name, cell in named.items() if name.startswith("answer")}


# Versions


@pytest.mark.parametrize("stem", WITH_EXERCISES)
def test_a_student_sees_no_solution(stem):
    nb, version = master(stem), student_version(master(stem), {})
    text = "\n".join(cell.source for cell in version.cells)
    for exercise in exercises(nb.cells):
        assert versions.solution_in(nb.cells[exercise.solution]) not in text
    for cell in version.cells:
        if versions.is_exercise(cell):
            assert "..." in cell.source
        if "nbgrader" in cell.metadata:
            is_answer = cell.metadata.nbgrader.solution
            assert not (is_answer and cell.outputs)
        if versions.is_check(cell):
            assert cell.metadata.jupyter.source_hidden


@pytest.mark.parametrize("stem", WITH_EXERCISES)
def test_a_solution_fills_each_blank(stem):
    filled = answers_in(solution_version(master(stem), {}))
    blanks = answers_in(student_version(master(stem), {}))
    assert list(filled) == list(blanks) and blanks
    for name, cell in filled.items():
        verdict = blanks[name].source.splitlines()[-1]
        assert cell.source.count(verdict) == 1
        assert cell.source != blanks[name].source and not cell.outputs
        compile(cell.source, name, "exec")


def test_what_a_solution_says_stays_below_it():
    version = solution_version(master("01_core"), {})
    texts = [cell.source for cell in version.cells if cell.cell_type == "markdown"]
    assert any(text.startswith("The mean of 256 such numbers") for text in texts)
    assert not [text for text in texts if "Solution</summary>" in text]


def test_a_check_finds_all_its_names(tmp_path):
    """Each check can run alone: ruff knows all names in the cells that nbgrader marks."""
    for stem in WITH_EXERCISES:
        nb = master(stem)
        for exercise in exercises(nb.cells):
            alone = versions.context(nb.cells, exercise) + f"\n\n{exercise.check}\n"
            (tmp_path / f"{stem}_{exercise.check}.py").write_text(alone, "utf-8")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache"]
    ruff += ["--select=F821", "--config=builtins=['display']", str(tmp_path)]
    said = subprocess.run(ruff, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


# Other numbers


def exercise_of(nb, check):
    return next(o for o in exercises(nb.cells) if o.check == check)


@pytest.mark.parametrize("key", VARIATIONS, ids="-".join)
def test_the_texts_that_vary_are_still_there(key):
    nb, variation = master(key[0]), VARIATIONS[key]
    cells = [nb.cells[i].source for i in exercise_of(nb, key[1]).cells]
    varied = [
        tuple(vary(cells, variation.numbers(i))) for i in range(len(variation.others))
    ]
    assert len(set(varied)) == len(varied) >= 3
    assert tuple(cells) not in varied
    for one in varied:
        for source in one[1:3]:
            compile(source, key[1], "exec")


def test_a_text_that_has_changed_is_named():
    with pytest.raises(ValueError, match="no cell of the exercise has 'is 0.98'"):
        vary(["it is 0.99"], {"is 0.98": "is 0.9"})


def test_an_exercise_that_is_gone_is_named():
    with pytest.raises(ValueError, match="no exercise has check_gone any more"):
        versions.with_numbers(master("01_core"), {"check_gone": {}})


def test_variants_in_ten_lessons():
    assert len({lesson for lesson, _ in VARIATIONS}) >= 10


def run_cell(source, names):
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, "cell", "exec"), names)


def without_verdict(source):
    lines = source.splitlines()
    return "\n".join(line for line in lines if not line.startswith("verdict("))


def variants_of(key, most):
    """The answers and the checks of a few variants of an exercise."""
    lesson, check = key
    nb, variation, given = master(lesson), VARIATIONS[key], {"display": print}
    exercise = exercise_of(nb, check)
    for i in versions.setups(nb.cells):
        if i < exercise.blank:
            run_cell(nb.cells[i].source, given)
    for choice in range(len(variation.others))[:most]:
        varied = versions.with_numbers(nb, {check: variation.numbers(choice)})
        answered, checking = dict(given), dict(given)
        solution = versions.solution_in(varied.cells[exercise.solution])
        run_cell(without_verdict(solution), answered)
        run_cell(varied.cells[exercise.checked].source, checking)
        yield answered[exercise.answer], checking[check]


def complaint(check, answer):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check(answer)
    except AssertionError as error:
        return str(error)


def assert_own_answers_alone_pass(key, most):
    pairs = list(variants_of(key, most))
    for i, (answer, _) in enumerate(pairs):
        for j, (_, check) in enumerate(pairs):
            said = complaint(check, answer)
            assert (said is None) == (i == j), (i, j, said)
            assert i == j or len(said) > 10


# Those whose answers are not drawn by a network.
LIGHT = {
    "check_odd_seed",
    "check_order",
    "check_error",
    "check_half_life",
    "check_placing",
    "check_bytes",
    "check_order_of_sampling",
}


@pytest.mark.parametrize("key", [o for o in VARIATIONS if o[1] in LIGHT], ids="-".join)
def test_a_variant_is_solvable_and_no_neighbour_solves_it(key):
    assert_own_answers_alone_pass(key, most=20)


@pytest.mark.slow
@pytest.mark.parametrize(
    "key", [o for o in VARIATIONS if o[1] not in LIGHT], ids="-".join
)
def test_a_drawn_variant_is_solvable_and_no_neighbour_solves_it(key):
    assert_own_answers_alone_pass(key, most=3)


def test_neighbours_have_other_numbers():
    names = [f"student{i}" for i in range(30)]
    chosen = choose(names, VARIATIONS)
    for one, other in zip(names, names[1:]):
        assert not [key for key in VARIATIONS if chosen[one][key] == chosen[other][key]]
    assert choose(names, VARIATIONS) == chosen
    assert choose(names, VARIATIONS, seed=1) != chosen
    assert choose(names[:3], VARIATIONS) == {name: chosen[name] for name in names[:3]}


# The folder


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The versions of one lesson for a class."""
    folder = tmp_path_factory.mktemp("teach")
    (folder / "class.txt").write_text("\n".join(NAMES), encoding="utf-8")
    students = ["--students", str(folder / "class.txt")]
    versions.main(["--out", str(folder / "out"), *students, LESSON])
    return folder / "out"


def answers_of(course, kind, student):
    return answers_in(read(course / kind / student / f"{LESSON}.ipynb"))


def test_each_student_has_a_notebook_of_their_own(course):
    texts = {(course / f"student/{o}/{LESSON}.ipynb").read_text("utf-8") for o in NAMES}
    assert len(texts) == len(NAMES)
    for name in NAMES:
        given = answers_of(course, "student", name)
        assert given.keys() == answers_of(course, "solution", name).keys()
    assert "`alphas_cumprod[t]` is 0.02" not in "".join(texts)


def test_marks_are_in_nbgrader_s_source_alone(course):
    source = (course / f"nbgrader/source/{LESSON}/{LESSON}.ipynb").read_text("utf-8")
    assert source.count("BEGIN HIDDEN TESTS") == 4
    student = (course / f"student/Ada/{LESSON}.ipynb").read_text("utf-8")
    assert "HIDDEN" not in student and '"grade": true' not in student


def test_without_a_class_all_get_the_course_s_numbers(tmp_path):
    versions.build(tmp_path / "out", names=["19_scratch", "01d_precision"])
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.ipynb")}
    both = ["19_scratch.ipynb", "01d_precision.ipynb"]
    wanted = {f"out/{kind}/{name}" for kind in ("student", "solution") for name in both}
    assert made == wanted | {"out/nbgrader/source/19_scratch/19_scratch.ipynb"}


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "gradebook.db").write_text("marks")
    with pytest.raises(SystemExit, match="is there already, and may hold marks"):
        versions.main(["--out", str(tmp_path), "19"])
    assert [path.name for path in tmp_path.iterdir()] == ["gradebook.db"]


def test_nothing_is_left_of_what_fails(tmp_path, monkeypatch):
    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(versions.shutil, "copy", full)
    with pytest.raises(SystemExit, match="no space left"):
        versions.main(["--out", str(tmp_path / "out"), "19"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "names, words",
    {
        "Ada\nAda": "stands twice",
        "../Ada": "write names in",
        " \n": "write a name on each line",
    }.items(),
)
def test_a_strange_list_is_answered_by_a_sentence(names, words, tmp_path):
    (tmp_path / "class.txt").write_text(names)
    with pytest.raises(ValueError, match=words):
        versions.students_in(tmp_path / "class.txt")


# Marks, as the cells give them


def blank_answers(stem):
    return answers_in(student_version(master(stem), {}))


def marks_given(stem, answers):
    """What each cell of marks raises: {check: error or None}."""
    given, raised = {"display": print}, {}
    for cell in graded_version(master(stem)).cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name.startswith("setup"):
            run_cell(cell.source, given)
        elif name.startswith("answer"):
            run_cell(without_verdict(answers[name].source), given)
        elif name.startswith("marks"):
            raised[name] = failure(cell.source, given)
    return raised


def failure(source, given):
    try:
        run_cell(source, given)
    except Exception as error:
        return error


@pytest.mark.parametrize(
    "stem", ["01_core", "03_schedule", "04_denoiser", "19_scratch"]
)
def test_solutions_get_all_marks_and_blanks_none(stem):
    solutions = answers_in(solution_version(master(stem), {}))
    assert set(marks_given(stem, solutions).values()) == {None}
    blanks = marks_given(stem, blank_answers(stem))
    assert all(isinstance(error, AssertionError) for error in blanks.values()), blanks


SHADOWED = """
check_second_jump = verdict = isinstance = callable = print
class torch:
    isclose = allclose = print
"""


def test_names_of_the_notebook_have_no_part_in_marks():
    answers = blank_answers("03_schedule")
    answers["answer-check_second_jump"].source += SHADOWED
    assert None not in marks_given("03_schedule", answers).values()


# Marks, as nbgrader's own program gives them


def pip_into(folder):
    wanted = ROOT / "teach/requirements.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    pip += ["--disable-pip-version-check", "--target", str(folder), "-r", str(wanted)]
    return subprocess.run(pip, capture_output=True, text=True)


@pytest.fixture(scope="module")
def grader(tmp_path_factory):
    """Runs nbgrader, which lies outside of the environment: it would put its menus into
    every reader's JupyterLab."""
    folder = tmp_path_factory.mktemp("grader")
    installed = pip_into(folder)
    if installed.returncode:
        pytest.skip(f"nbgrader cannot be installed here: {installed.stderr[-200:]}")
    where = {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
    }

    def run(course, *args):
        command = [sys.executable, "-m", "nbgrader", *args]
        env = {**os.environ, **where}
        said = subprocess.run(
            command, cwd=course, env=env, capture_output=True, text=True
        )
        assert said.returncode == 0, said.stderr[-3000:]

    return run


def hand_in(course, student, nb):
    path = course / "nbgrader/submitted" / student / LESSON / f"{LESSON}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nb, path)


def version_of(course, kind, student):
    return read(course / kind / student / f"{LESSON}.ipynb")


def with_answers(course, student, given):
    """A student's notebook with answers from elsewhere."""
    nb = version_of(course, "student", student)
    for name, cell in answers_in(nb).items():
        cell.source = given.get(name, cell.source)
    return nb


def sources(course, student):
    answers = answers_of(course, "solution", student)
    return {name: cell.source for name, cell in answers.items()}


def half_solved(course, student):
    first_two = list(sources(course, student).items())[:2]
    return with_answers(course, student, dict(first_two))


def with_checks_overwritten(course, student):
    nb = version_of(course, "student", student)
    for cell in nb.cells:
        found = re.search(r"^def (check_\w+)", cell.source, re.MULTILINE)
        if versions.is_check(cell):
            cell.source = f"# check\ndef {found[1]}(answer):\n    pass"
        elif versions.is_exercise(cell):
            check = versions.VERDICT.search(cell.source)[1]
            cell.source += f"\nverdict = {check} = print"
    return nb


def with_an_import_that_fails(course, student):
    given = sources(course, student)
    given["answer-check_loss"] = "import no_such_module\n" + given["answer-check_loss"]
    return with_answers(course, student, given)


def neighbour_s(course, student):
    return with_answers(course, student, sources(course, "Ada"))


def answers_alone(course, student):
    """No other cell, and nothing that says which cell is which."""
    given = sources(course, student).values()
    cells = [nbformat.v4.new_code_cell(source) for source in given]
    return nbformat.v4.new_notebook(cells=cells)


# What a teacher would give, of four.
HANDED_IN = {
    "Ada": (lambda course, student: version_of(course, "solution", student), 4),
    "Ben": (lambda course, student: version_of(course, "student", student), 0),
    "Cleo": (half_solved, 2),
    "Dan": (with_checks_overwritten, 0),
    "Eve": (with_an_import_that_fails, 3),
    "Finn": (neighbour_s, 2),  # two exercises have no numbers
    "Gil": (answers_alone, 4),
}


def graded(course, student):
    path = course / "nbgrader/autograded" / student / LESSON / f"{LESSON}.ipynb"
    cells = read(path).cells
    return {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in cells}


def error_in(cell):
    errors = [o.evalue for o in cell.outputs if o.output_type == "error"]
    return errors[0] if errors else None


@pytest.mark.slow
def test_nbgrader_gives_the_marks_of_a_teacher(course, grader):
    for student, (notebook, _) in HANDED_IN.items():
        hand_in(course, student, notebook(course, student))
    folder = course / "nbgrader"
    grader(folder, "generate_assignment", LESSON)
    grader(folder, "autograde", LESSON)
    grader(folder, "export")
    with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
        marks = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert marks == {student: points for student, (_, points) in HANDED_IN.items()}
    finn = graded(course, "Finn")
    assert "factor is (1 - a)/a" in error_in(finn["marks-check_error"])
    assert error_in(finn["marks-check_loss"]) is None
    assert "Not yet" in finn["answer-check_error"].outputs[0].text
    ada = graded(course, "Ada")
    assert ada["answer-check_error"].outputs[0].text == "Right.\n"
    assert ada["asked-check_error"].cell_type == "markdown"
    told = error_in(graded(course, "Eve")["marks-check_loss"])
    assert told == "there is no my_loss: did its cell stop?"


# The report


@pytest.fixture
def handed_in(course, tmp_path):
    """A course to which notebooks are handed in, beside the one that is graded."""
    folder = tmp_path / "nbgrader"
    folder.mkdir()
    (folder / "class.json").write_text((course / "nbgrader/class.json").read_text())

    def hand(student, nb):
        hand_in(tmp_path, student, nb)
        return folder

    return hand


def test_a_copied_answer_is_reported(course, handed_in):
    handed_in("Ada", version_of(course, "solution", "Ada"))
    folder = handed_in("Finn", neighbour_s(course, "Finn"))
    said = list(report.remarks(folder))
    words = "Ada and Finn answered {} alike, though their numbers differ."
    assert said == [
        f"{LESSON}: {words.format(check)}" for check in ("check_order", "check_error")
    ]


def test_a_copied_notebook_is_reported(course, handed_in):
    folder = handed_in("Ben", version_of(course, "solution", "Ada"))
    said = list(report.remarks(folder))
    assert f"Ben, {LESSON}: check_error has the numbers of Ada." in said


def test_own_work_is_not_reported(course, handed_in):
    for student in NAMES[:4]:
        folder = handed_in(student, version_of(course, "solution", student))
    folder = handed_in("Eve", version_of(course, "student", "Eve"))
    assert not list(report.remarks(folder))


def test_a_stranger_is_reported(course, handed_in):
    folder = handed_in("Zoe", version_of(course, "student", "Ada"))
    assert list(report.remarks(folder)) == [
        f"Zoe, {LESSON}: not in the list of the class."
    ]


def test_a_file_that_is_no_notebook_is_named(course, handed_in):
    folder = handed_in("Ada", version_of(course, "student", "Ada"))
    (folder / f"submitted/Ada/{LESSON}/{LESSON}.ipynb").write_text("lost")
    with pytest.raises(ValueError, match="Ada.*is no notebook: ask for it again"):
        list(report.remarks(folder))


def test_what_reaches_into_modules_is_reported(course, handed_in):
    nb = version_of(course, "student", "Ada")
    answers_in(nb)["answer-check_loss"].source += "\ntorch.isclose = print"
    said = list(report.remarks(handed_in("Ada", nb)))
    assert said == [f"Ada, {LESSON}: check_loss meddles with torch.isclose."]


def test_no_solution_meddles():
    for stem in WITH_EXERCISES:
        assert not list(
            report.meddling("Ada", stem, solution_version(master(stem), {}))
        )


KINDS = "asked", "above", "marks"


def test_the_record_holds_the_cells_that_are_a_student_s_own(course):
    record = json.loads(Path(course / "nbgrader/class.json").read_text())
    assert list(record) == NAMES
    own = {f"{kind}-check_{o}" for kind in KINDS for o in ("order", "error")}
    assert record["Ada"][LESSON].keys() == own
