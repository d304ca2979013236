"""What a class has learned: `python teach/gain.py answers.csv [--json FILE]`.

`answers.csv` has one row for each student and time:

    student,when,q01,q02,q05
    ana,before,A,C,
    ana,after,A,B,D

`when` is before or after. A to D are the choices of a question of
`sdlearn/questions.json` in their order; an empty answer counts as wrong. Rows that
cannot be read are left out, each with a sentence. `python teach/gain.py --questions`
prints the thirty questions of the inventory, to be handed out.

Needs nothing but Python.
"""

import argparse
import csv
import json
import math
import os
import re
import statistics
import sys
from pathlib import Path

BANK = Path(__file__).resolve().parent.parent / "sdlearn" / "questions.json"
LETTERS = "ABCD"
TIMES = ("before", "after")
SHARE_OF_A_GROUP = 0.27


class AnswersError(Exception):
    """A file of answers that cannot be used; the message is for the reader."""


def bank():
    """The questions by their ids."""
    listed = json.loads(BANK.read_text(encoding="utf-8"))
    return {question["id"]: question for question in listed}


# Reading


def columns_of(header, known):
    """The columns that are questions; an error for what is missing or unknown."""
    missing = [name for name in ("student", "when") if name not in header]
    if missing:
        raise AnswersError(f"There is no column {missing[0]!r}: add it to the header.")
    asked = [name for name in header if name not in ("student", "when")]
    strange = [name for name in asked if name not in known]
    if strange:
        raise AnswersError(
            f"There is no question {strange[0]!r}: name columns by ids, such as q01."
        )
    if not asked or len(set(header)) < len(header):
        raise AnswersError("Each question needs one column, and there must be one.")
    return asked


def fault_of(row, asked, seen):
    """Why a row cannot be used; None if it can."""
    if None in row or None in row.values():
        return "it has more or fewer fields than the header"
    if not row["student"]:
        return "it names no student"
    if row["when"] not in TIMES:
        return f"'when' must be before or after, not {row['when']!r}"
    if (row["student"], row["when"]) in seen:
        return f"{row['student']} has answered {row['when']} in an earlier row"
    for name in asked:
        if row[name] and row[name] not in LETTERS:
            return f"{name} must be A, B, C, D or empty, not {row[name]!r}"
    return None


def tidied(field):
    """A field without blanks around it; what is no text stays."""
    return field.strip() if isinstance(field, str) else field


def normalized(row, asked):
    """A row with `when` in small letters, and answers in capitals."""
    row = {name: tidied(field) for name, field in row.items()}
    for name in asked:
        row[name] = row[name].upper() if row[name] else row[name]
    row["when"] = row["when"].lower() if row["when"] else row["when"]
    return row


def read_answers(lines, known):
    """From a file: the questions, the answers {when: {student: row}}, and what was left out."""
    lines = list(lines)
    is_of_a_spreadsheet = lines and ";" in lines[0]  # where a comma is a decimal point
    reader = csv.DictReader(
        lines, delimiter=";" if is_of_a_spreadsheet else ",", skipinitialspace=True
    )
    reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
    asked = columns_of(reader.fieldnames, known)
    answers, left_out = {when: {} for when in TIMES}, []
    for row in reader:
        row = normalized(row, asked)
        seen = {(name, when) for when in TIMES for name in answers[when]}
        fault = fault_of(row, asked, seen)
        if fault:
            left_out.append(f"Line {reader.line_num} is left out: {fault}.")
        else:
            answers[row["when"]][row["student"]] = row
    return asked, answers, left_out


# Measuring


def marks(rows, asked, known):
    """For each student a list of 1 (right) and 0, in the order of the questions."""
    right = [LETTERS[known[name]["right"]] for name in asked]
    marked = {}
    for student, row in rows.items():
        given = [row[name] for name in asked]
        marked[student] = [int(one == other) for one, other in zip(given, right)]
    return marked


def normalized_gain(before, after):
    """The share of what was still to be gained (Hake 1998, American Journal of Physics 66:64)."""
    return None if before == 1 else (after - before) / (1 - before)


def class_gain(before, after):
    """The gain of the class's mean scores, of those students who answered at both times."""
    both = sorted(set(before) & set(after))
    if not both:
        return {"students": 0, "before": None, "after": None, "gain": None}
    means = []
    for marked in (before, after):
        means.append(statistics.fmean(statistics.fmean(marked[name]) for name in both))
    gain = normalized_gain(*means)
    return {"students": len(both), "before": means[0], "after": means[1], "gain": gain}


def point_biserial(item, rest):
    """How a right answer goes with the score in all other questions, from -1 to 1.

    The item itself is left out of the score (Henrysson 1963, Psychometrika 28:211).
    """
    if len(set(item)) < 2 or len(set(rest)) < 2:
        return None  # all are alike: nothing goes with anything
    middle, mean = statistics.fmean(item), statistics.fmean(rest)
    together = math.fsum((i - middle) * (r - mean) for i, r in zip(item, rest))
    spreads = statistics.pstdev(item) * statistics.pstdev(rest)
    return together / len(item) / spreads


def upper_minus_lower(item, totals):
    """Share right among the best 27% of the class less that among the last 27%.

    Kelley 1939, Journal of Educational Psychology 30:17.
    """
    if len(item) < 2:
        return None
    size = max(1, round(SHARE_OF_A_GROUP * len(item)))
    order = sorted(range(len(item)), key=lambda student: totals[student])
    lower, upper = order[:size], order[-size:]
    right = [statistics.fmean(item[i] for i in group) for group in (upper, lower)]
    return right[0] - right[1]


def discrimination(marked, number):
    """Both measures for one question."""
    rows = list(marked.values())
    item = [row[number] for row in rows]
    totals = [sum(row) for row in rows]
    rest = [total - one for total, one in zip(totals, item)]
    return {
        "point_biserial": point_biserial(item, rest),
        "upper_minus_lower": upper_minus_lower(item, totals),
    }


def favorite_mistake(rows, question):
    """The wrong choice that is given most, how often, and what it believes."""
    given = [row[question["id"]] for row in rows.values()]
    wrong = [one for one in LETTERS if one != LETTERS[question["right"]]]
    most = max(wrong, key=given.count)
    if most not in given:
        return None
    belief = question["misconceptions"][LETTERS.index(most)]
    share = given.count(most) / len(given)
    return {"choice": most, "share": share, "misconception": belief}


def of_question(number, question, answers, marked):
    """All that is told of one question."""
    told = {"id": question["id"], "topic": question["topic"]}
    for when in TIMES:
        rights = [row[number] for row in marked[when].values()]
        share = statistics.fmean(rights) if rights else None
        told[f"right_{when}"] = share  # known as the item's difficulty
    last = "after" if marked["after"] else "before"
    told |= discrimination(marked[last], number)
    told["mistake"] = favorite_mistake(answers[last], question)
    return told


def measure(asked, answers, known):
    """The gain of the class, and each question."""
    marked = {when: marks(answers[when], asked, known) for when in TIMES}
    told = []
    for number, name in enumerate(asked):
        told.append(of_question(number, known[name], answers, marked))
    return {"class": class_gain(marked["before"], marked["after"]), "questions": told}


# Telling


def formatted(value, form=".2f"):
    """A number for the table; a dash for none."""
    return "-" if value is None else format(value, form)


def of_class(found):
    """The gain in a sentence or two."""
    if not found["students"]:
        return "No student has answered both before and after, so there is no gain."
    before, after = f"{found['before']:.0%}", f"{found['after']:.0%}"
    line = f"{found['students']} students: {before} right before, {after} after."
    if found["gain"] is None:
        return f"{line} All was right before, so nothing could be gained."
    return f"{line} Normalized gain {found['gain']:.2f}."


def table(found):
    """Lines of text for people."""
    head = ("", "before", "after", "r", "D", "most chosen mistake")
    lines = [of_class(found["class"]), "", "{:5}{:>7}{:>7}{:>7}{:>7}  {}".format(*head)]
    for one in found["questions"]:
        mistake = one["mistake"]
        told = f"{mistake['choice']} {mistake['share']:.0%}" if mistake else "-"
        shares = [formatted(one[f"right_{when}"], ".0%") for when in TIMES]
        both = ("point_biserial", "upper_minus_lower")
        two = [formatted(one[name]) for name in both]
        fields = (one["id"], *shares, *two, told)
        lines.append("{:5}{:>7}{:>7}{:>7}{:>7}  {}".format(*fields))
    lines += ["", *explained(found["questions"])]
    return "\n".join(lines)


def explained(told):
    """What the columns mean, and what to speak about next."""
    lines = [
        "before, after: share of right answers. r: how a right answer goes with all others",
        "(below about 0.2 look at the question). D: the best 27% less the last 27%.",
    ]
    mistakes = [one for one in told if one["mistake"]]
    mistakes.sort(key=lambda one: -one["mistake"]["share"])
    if mistakes:
        lines += ["", "To speak about:"]
    for one in mistakes[:3]:
        lines.append(f"- {one['id']}: {one['mistake']['misconception']}")
    return lines


def handout(known):
    """The questions of the inventory, without their answers."""
    lines = []
    for question in known.values():
        if question["inventory"]:
            lines.append(f"{question['id']}. {question['text']}")
            for letter, choice in zip(LETTERS, question["choices"]):
                lines.append(f"    {letter}  {choice}")
            lines.append("")
    ids = [name for name, question in known.items() if question["inventory"]]
    header = ",".join(["student", "when", *ids])
    text = "\n".join([*lines, f"The header of answers.csv: {header}"])
    return re.sub("`(.+?)`", r"\1", text)


def save(found, path):
    """Write the figures as JSON, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def told_of(path):
    """Read and measure one file; sentences on rows left out go to the error output."""
    known = bank()
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            asked, answers, left_out = read_answers(lines, known)
    except OSError as error:
        raise AnswersError(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error):
        raise AnswersError(f"{path} is no table: save it as CSV in UTF-8.") from None
    print(*left_out, sep="\n", end="\n" if left_out else "", file=sys.stderr)
    if not any(answers.values()):
        raise AnswersError(f"{path} has no row that can be used.")
    return measure(asked, answers, known)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("answers", nargs="?", type=Path, help="a CSV file")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--questions", action="store_true", help="print a handout")
    options = parser.parse_args()
    if options.questions:
        print(handout(bank()))
    elif options.answers is None:
        parser.error("name a CSV file of answers, or ask for --questions")
    else:
        found = told_of(options.answers)
        print(table(found))
        if options.json:
            save(found, options.json)


if __name__ == "__main__":
    try:
        main()
    except AnswersError as error:
        sys.exit(f"gain.py: {error}")
