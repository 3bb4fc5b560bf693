"""README.ko.md says what README.md says: whoever changes one is told what the other still lacks."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HERE = (ROOT / "README.md").read_text()
KOREAN = (ROOT / "README.ko.md").read_text()
FENCE = re.compile(r"^```\n(.*?)^```\n", re.M | re.S)


def prose(page):
    """The page without its blocks of commands and without comments."""
    return re.sub(r"<!--.*?-->\n?", "", FENCE.sub("", page), flags=re.S)


def headings(page):
    return [found.count("#") for found in re.findall(r"^#+ ", prose(page), re.M)]


def commands(page):
    return FENCE.findall(page)


def code(page):
    """What stands in backquotes: settings, names, files, commands."""
    return sorted(re.findall(r"`([^`]+)`", prose(page)))


def figures(page):
    """All numbers, but those in code and in addresses."""
    words = re.sub(r"`[^`]+`|\]\([^)]*\)", " ", prose(page))
    return sorted(re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?", words))


def links(page):
    """Where links and pictures lead, in order; the link to the other language left out."""
    return sorted(re.findall(r"\]\(([^)]+)\)", prose(page).replace("](README.ko.md)", "").replace("](README.md)", "")))


def tables(page):
    """Of each line of a table, how many cells it has."""
    return [line.count("|") for line in page.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("part", [headings, commands, code, figures, links, tables], ids=lambda part: part.__name__)
def test_the_korean_readme_has_the_same(part):
    assert part(KOREAN) == part(HERE)


def test_each_readme_leads_to_the_other():
    assert "](README.ko.md)" in HERE and "](README.md)" in KOREAN


def test_the_tutorials_terms_are_those_of_the_korean_tutorials():
    terms = ("전이학습", "미세조정", "고정된 특징 추출기", "양자화", "양자화 인식 학습")
    assert [term for term in terms if term not in KOREAN.replace("\n", " ")] == []


@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_what_a_readme_links_to_is_there(page):
    found = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text())]
    local = {link for link in found if "://" not in link}
    assert len(local) > 20 and [link for link in local if not (ROOT / link).exists()] == []
