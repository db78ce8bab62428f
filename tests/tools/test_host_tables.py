"""The README's table of hosts is their records'; no documented call lacks a client's method."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vidfs.hosts import HOSTS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from hosttables import calls, table  # noqa: E402

README = ROOT / "README.md"


def test_the_readme_has_the_table_of_today() -> None:
    assert table.replaced(README.read_text()) == README.read_text(), "scripts/host-table --write"


def test_the_table_has_every_host_and_says_what_the_records_say() -> None:
    heading, _, *lines = table.render().splitlines()
    names = [cell.strip().strip("`") for cell in heading.strip("|").split("|")][1:]
    assert names == list(HOSTS)
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines}
    assert all(len(row) == len(names) for row in cells.values())
    reading = dict(zip(names, (cell.strip() for cell in cells["reading"]), strict=True))
    assert reading["xvs"] == "yes ¹" and reading["vipstream"] == "–"
    assert {n for n, said in reading.items() if said.startswith("yes")} == {
        name for name, host in HOSTS.items() if host.capabilities.read_content
    }


def test_a_readme_without_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="end of the table"):
        table.replaced(table.BEGIN)


def test_no_call_lacks_its_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert calls.find_missing_methods() == []
    assert calls.main([]) == 0
    listed = capsys.readouterr().out
    assert "doodstream   urlupload/actions      cancel_remote_uploads()" in listed


PAGE = """
https://api.fruithosted.net/file/ul?login={login}&key={key}&folder={folder}&colour={colour}
Name | Description | Example | Required |
---|---|---|---|
login | API-Login | 5147a8f8e924bc82 | no |
sha1 | Expected sha1 If it differs, upload fails |
2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 | no |
shape | Its shape | round |
no |
200 (OK)
{ "url": "https://13abc37.example.com/ul/fCgaPthr_ys" }
https://api.fruithosted.net/file/dance?file={file}
"""


def test_what_a_page_has_and_we_have_not_is_found(tmp_path: Path) -> None:
    assert calls.read_page(PAGE) == {
        "file/ul": {"folder", "sha1", "shape", "colour"},
        "file/dance": {"file"},
    }
    page = tmp_path / "page.txt"
    page.write_text(PAGE)
    assert calls.main([f"fruithosted={page}"]) == 1
    assert calls.find_unknown("fruithosted", calls.read_page(PAGE)) == [
        "fruithosted: file/ul: parameter colour in the document only",
        "fruithosted: file/ul: parameter shape in the document only",
        "fruithosted: file/dance: in the document only",
    ]


def test_a_table_with_a_cell_a_line_is_read() -> None:
    page = """GET https://vipstream.cc/api/file/clone?key=45tzu7ub0wtftr6df&file_code={file_code}
PARAMETERS
Name |
Description |
Example |
Format |
Required |
key |
API key |
45tzu7ub0wtftr6df |
STRING |
yes |
file_title |
New file title if required |
New video title |
STRING |
|
RESPONSE
{
}
"""
    assert calls.read_page(page) == {"file/clone": {"file_code", "file_title"}}
