"""Clusters on the page: named, changed and undone, chosen in number, compared, taken along."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import FILMS, Server, until
from test_service_page import Page, browser, pytestmark

__all__ = ["browser", "pytestmark"]

ROWS = 60
FEW, MANY = 4, 6
"""Clusters of the films' versions 1 and 2."""


def table() -> str:
    """Some films, one of them without a text."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["id", "title", "overview", "popularity"])
    for row, film in enumerate(FILMS[:ROWS]):
        text = "" if row == 7 else film["overview"]
        writer.writerow([film["id"], film["title"], text, film["popularity"]])
    return out.getvalue()


CUSTOMERS = "id,age,income,plan\n" + "".join(
    f"{at},{at % 3 * 20 + at % 5},{at % 3 * 1_000 + at % 7},{'abc'[at % 3]}\n" for at in range(90)
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with two versions of films, and one of customers."""
    with Server(tmp_path_factory.mktemp("clusters") / "data") as server:
        server.put("films", table())
        server.put("customers", CUSTOMERS)
        assert [server.fit("films", n_clusters=k) for k in (FEW, MANY)] == [1, 2]
        server.fit("customers", n_clusters=3)
        yield server


def names(server: Server, model: str) -> dict[int, str]:
    """Names of the active version's clusters."""
    found = server.get(f"/v1/models/{model}/clusters")["clusters"]
    return {each["label"]: each["name"] for each in found if each["size"]}


def rows(server: Server, model: str) -> list[dict[str, Any]]:
    """All versions, the newest first."""
    found: list[dict[str, Any]] = server.get(f"/v1/models/{model}")["versions"]
    return found


def active(server: Server, model: str) -> int:
    number: int = server.get(f"/v1/models/{model}")["active"]
    return number


def test_clusters_are_named_renamed_merged_split_and_brought_back(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server, "#tab=clusters&model=films")
    tab = page.tab
    page.says(f"{MANY} clusters of films")
    shown = tab.locator(".named h2 a").all_inner_texts()
    assert sorted(shown) == sorted(names(server, "films").values())
    assert tab.locator(".typical a").count() >= MANY
    # Renamed in place, by keyboard; a name is only text.
    first = shown[0]
    tab.click(f'[aria-label="Rename “{first}”"]')
    tab.fill(".renaming input", "<b>Mine</b>")
    tab.keyboard.press("Enter")
    page.says(f"“{first}” is called “<b>Mine</b>” now. This is version 3 of films.")
    assert "<b>Mine</b>" in names(server, "films").values()
    # What another way renames is undone with one button.
    tab.click(".said >> text=Undo")
    page.says("Version 2 of films is back.")
    assert active(server, "films") == 2
    tab.wait_for_selector(f'.named h2 a:text-is("{first}")')
    # Two become one.
    tab.check(".named li:nth-child(1) input")
    assert not tab.is_visible(".merge")
    tab.check(".named li:nth-child(2) input")
    tab.click("text=Merge these 2 clusters")
    page.says("2 clusters are one")
    page.says(f"{MANY - 1} clusters of films")
    assert len(names(server, "films")) == MANY - 1
    # One becomes two, in its own view.
    tab.click(".named h2 a >> nth=0")
    page.says("What sets it apart")
    tab.wait_for_selector(".members li")
    tab.fill("input[name=parts]", "2")
    tab.click("text=Split into")
    page.says("is split into 2 parts.")
    page.says(f"{MANY} clusters of films")
    version = active(server, "films")
    own = next(row for row in rows(server, "films") if row["version"] == version)
    assert own["source"] == "edit"
    # The way back stands there after a reload, too.
    tab.reload()
    tab.click(f"text=Undo the last change: back to version {own['based_on']}")
    page.says(f"Version {own['based_on']} of films is back.")
    page.says(f"{MANY - 1} clusters of films")
    server.http.post("/v1/models/films/versions/2/activate")
    page.fine()


def test_what_another_tab_changed_meanwhile_is_not_changed_again(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server, "#tab=clusters&model=films")
    page.says(f"{MANY} clusters of films")
    server.http.post("/v1/models/films/versions/1/activate")
    page.tab.click("button:text-is('Rename') >> nth=0")
    page.tab.fill(".renaming input", "Theirs")
    page.tab.click(".renaming >> text=Save")
    page.says("Meanwhile another version of films was made the active one. Nothing was done.")
    assert "Theirs" not in names(server, "films").values()
    server.http.post("/v1/models/films/versions/2/activate")
    page.fine()


def test_an_older_version_is_changed_without_taking_its_place(browser: Any, server: Server) -> None:
    page = Page(browser, server, "#tab=clusters&model=films&v=1")
    page.says(f"{FEW} clusters of films")
    page.tab.click("button:text-is('Rename') >> nth=0")
    page.tab.keyboard.press("Escape")
    assert not page.tab.is_visible(".renaming")
    page.tab.click("button:text-is('Rename') >> nth=0")
    page.tab.fill(".renaming input", "Old ones")
    page.tab.click(".renaming >> text=Save")
    page.says("is called “Old ones” now.")
    page.tab.wait_for_selector(".named h2 a:text-is('Old ones')")
    assert active(server, "films") == 2
    page.fine()


def test_levels_lead_down_to_a_cluster_and_can_be_linked(browser: Any, server: Server) -> None:
    page = Page(browser, server, "#tab=clusters&model=films")
    tab = page.tab
    tab.click("text=From coarse to fine")
    page.says("Clusters that are alike belong to one group.")
    for _ in range(4):
        if not tab.locator(".cluster-card .hint:has-text('clusters:')").count():
            break
        tab.click(".cluster-card:has(.hint:has-text('clusters:')) a >> nth=0")
        tab.wait_for_selector("[aria-current=location]")
        tab.wait_for_selector(".region:not([aria-busy]) .cluster-card")
    link = tab.url
    tab.click(".cluster-card:has-text('One cluster.') a >> nth=0")
    page.says("What sets it apart")
    tab.goto("about:blank")
    tab.goto(link)
    tab.wait_for_selector(".crumbs")
    tab.goto(link.split("&down")[0] + "&down=99")
    page.says("There is no such group in this version.")
    page.fine()


def test_items_that_fit_nowhere_are_listed_with_the_reason(browser: Any, server: Server) -> None:
    page = Page(browser, server, "#tab=clusters&model=films")
    page.says("Items that fit worst")
    page.tab.wait_for_selector("text=as far as usual >> nth=0")
    page.tab.click("text=1 item in no cluster")
    page.says("it has no text")
    assert page.tab.locator(f"text={FILMS[7]['title']}").count() == 1
    page.fine()


def test_a_cluster_of_numbers_and_categories_is_profiled(browser: Any, server: Server) -> None:
    page = Page(browser, server, "#tab=clusters&model=customers&cluster=0")
    page.says("Numbers")
    profile = server.get("/v1/models/customers/profiles")["clusters"][0]
    cells = page.tab.locator(".profile tbody th").all_inner_texts()
    assert {"age", "income"} <= set(cells)
    assert any(cell.startswith("plan: ") for cell in cells)
    share = next(r["mean"] for r in profile["reasons"] if r["kind"] == "category")
    assert f"{100 * share:.3g}" in page.tab.inner_text(".profile >> nth=1")
    page.fine()


def test_a_text_and_a_row_are_put_into_their_cluster(browser: Any, server: Server) -> None:
    page = Page(browser, server, "#tab=clusters&model=films")
    text = FILMS[0]["overview"]
    label = server.http.post("/v1/models/films/predict", json={"texts": [text]}).json()
    expected = names(server, "films")[label["predictions"][0]["cluster"]]
    page.tab.click("text=Which cluster is this? Try")
    page.tab.fill("textarea", text)
    page.tab.click("button:text-is('Which cluster is this?')")
    page.says(f"It belongs to {expected}")
    page.tab.fill("textarea", "qqqq zzzz")
    page.tab.click("button:text-is('Which cluster is this?')")
    page.says("the model knows no word of it")
    page.fine()
    page = Page(browser, server, "#tab=clusters&model=customers")
    page.tab.click("text=Which cluster is this? Try")
    for column, cell in (("age", "41"), ("income", "2003"), ("plan", "c")):
        page.tab.fill(f"input[name={column}]", cell)
    page.tab.click("button:text-is('Which cluster is this?')")
    member = next(
        label
        for label in range(3)
        if any(
            item["columns"]["plan"] == "c"
            for item in server.get(f"/v1/models/customers/clusters/{label}/items")["items"]
        )
    )
    page.says(f"It belongs to {names(server, 'customers')[member]}")
    page.tab.fill("input[name=age]", "old")
    page.tab.click("button:text-is('Which cluster is this?')")
    page.tab.wait_for_selector(".which-cluster .bad")
    page.fine()


def downloaded(page: Page, kind: str) -> tuple[str, bytes]:
    """Name and content of what a button of the open list takes along."""
    with page.tab.expect_download() as download:
        page.tab.click(f".export[open] button:text-is('{kind}')")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_downloads_are_of_all_columns_of_the_version_on_the_screen(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server, "#tab=clusters&model=customers&v=1")
    page.tab.click("summary:text-is('Download')")
    name, content = downloaded(page, "CSV")
    assert name == "customers-1.csv"
    found = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert len(found) == 90
    assert {"age", "income", "plan", "cluster"} <= set(found[0])
    name, content = downloaded(page, "Parquet")
    assert (name, content[:4]) == ("customers-1.parquet", b"PAR1")
    name, content = downloaded(page, "Excel")
    assert (name, content[:2]) == ("customers-1.xlsx", b"PK")
    page.tab.keyboard.press("Escape")
    assert not page.tab.is_visible(".export[open]")
    page.tab.click(".named h2 a >> nth=0")
    page.says("What sets it apart")
    page.tab.click("summary:text-is('Download')")
    name, content = downloaded(page, "CSV")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    (label,) = {row["cluster"] for row in rows}
    assert name == f"customers-1-cluster-{label}.csv"
    assert len(rows) == 30
    page.fine()


def test_a_model_is_brought_along_compared_and_deleted(
    browser: Any, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "films.tar"
    file.write_bytes(server.archive("films", version=1))
    page = Page(browser, server, "#tab=build&model=films")
    tab = page.tab
    tab.click("text=Bring a model made elsewhere")
    tab.set_input_files("#panel-build input[name=archive]", str(file))
    tab.fill("#panel-build form:has(input[name=archive]) input[name=model]", "guest")
    tab.click("text=Bring it")
    page.says(f"{FEW} clusters of guest")
    tab.click("#tab-versions")
    page.says("brought along")
    tab.click("text=Bring a version made elsewhere")
    file.write_bytes(b"no model")
    tab.set_input_files("#panel-versions input[name=archive]", str(file))
    tab.click("#panel-versions >> text=Bring it")
    tab.wait_for_selector("#panel-versions form .bad")
    file.write_bytes(server.archive("films", version=2))
    tab.set_input_files("#panel-versions input[name=archive]", str(file))
    tab.click("#panel-versions >> text=Bring it")
    page.says("Version 2 of guest was brought along.")
    tab.click("#panel-versions a:text-is('Compare')")
    page.says("Which cluster became which")
    tab.click("#tab-versions")
    tab.click("text=Delete the model guest")
    page.confirm("Delete guest and all its versions")
    until(lambda: "model=guest" not in tab.evaluate("location.hash"))
    assert "guest" not in [each["name"] for each in server.get("/v1/models")["models"]]
    page.fine()


def test_help_with_the_number_of_clusters_fills_the_form(browser: Any, server: Server) -> None:
    page = Page(browser, server, "#tab=build&model=films")
    tab = page.tab
    tab.wait_for_selector("select[name=dataset] option[value=customers]", state="attached")
    tab.select_option("select[name=dataset]", "customers")
    tab.click("text=Help me choose")
    tab.fill("[aria-label='Most clusters']", "5")
    tab.click("text=Compare them")
    page.says("3 clusters stand out")
    assert "choice=" in tab.url
    assert tab.locator(".previews > li").count() == 3
    first = tab.inner_text(".previews > li >> nth=0")
    assert "recommended" in first and all(
        part in first for part in ("3 clusters", "30 items, 33.3", "plan")
    )
    tab.wait_for_selector(".panels canvas")
    assert tab.locator(".panels figure").count() == 4
    tab.click("text=The same as a table")
    assert tab.locator(".scroll tbody tr").count() == 4
    tab.click("text=Take 3 clusters")
    page.says("In the form below")
    until(lambda: tab.input_value("input[name=n_clusters]") == "3")
    assert tab.input_value("select[name=dataset]") == "customers"
    tab.reload()  # what was picked stands in the address
    page.says("In the form below")
    until(lambda: tab.input_value("input[name=n_clusters]") == "3")
    tab.click("text=Go on")
    tab.keyboard.press("Enter")
    page.says("customers, 3 clusters: done")
    assert "choice=" not in tab.url
    page.fine()


def test_two_versions_are_compared_band_by_band(browser: Any, server: Server) -> None:
    page = Page(browser, server, "#tab=compare&model=films&v=2&with=1")
    tab = page.tab
    found = server.get("/v1/models/films/compare", version=2, **{"with": 1})
    page.says(found["verdict"][1:])
    tab.wait_for_selector(".flow canvas")
    tab.click("text=The same as a table")
    bands = tab.locator("#panel-compare .scroll >> nth=0").locator("tbody tr")
    assert bands.count() == min(20, found["n_flows"])
    flow = next(each for each in found["flows"] if not each["matched"])
    tab.evaluate(f"location.hash += '&flow={flow['before']}-{flow['after']}'")
    page.says(f"{flow['before_name']} → {flow['after_name']}")
    tab.wait_for_selector("text=All items that moved")
    tab.wait_for_selector("#panel-compare .region:not([aria-busy]) > .rows")
    assert tab.locator("#panel-compare ul.rows li").count() == min(30, flow["items"])
    tab.select_option("#panel-compare select >> nth=0", "customers")
    page.says("share no item")  # with the words of the service
    tab.evaluate("location.hash = '#tab=compare&model=films&v=2&with=77'")
    page.says("Version 77 of films is not there")
    page.fine()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_them_without_scrolling_to_the_side(
    browser: Any, server: Server, scheme: str
) -> None:
    size = {"width": 390, "height": 844}
    page = Page(browser, server, viewport=size, color_scheme=scheme, has_touch=True)
    for state in (
        "tab=clusters&model=films",
        "tab=clusters&model=films&down=all",
        "tab=clusters&model=customers&cluster=0",
        "tab=compare&model=films&v=2&with=1",
    ):
        page.tab.evaluate(f"location.hash = '#{state}'")
        page.tab.wait_for_timeout(1_500)
        wide = page.tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, state
    page.fine()
