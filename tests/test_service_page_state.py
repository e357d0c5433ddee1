"""Every action of the page is of what is on the screen, whatever other tabs do meanwhile."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from serving import CSV, Server, films
from test_service_page import Page, browser, pytestmark

__all__ = ["browser", "pytestmark"]

FEW, MANY = 3, 7
"""Clusters of versions 1 and 2."""
ROWS = 60


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the data ``films`` and two versions of a model of it; 2 is active."""
    # Only one version stays in memory: what is wrong with the files of another is noticed.
    with Server(tmp_path_factory.mktemp("state") / "data", max_loaded_models=1) as server:
        server.put("films", films(ROWS))
        assert [server.fit("films", n_clusters=k) for k in (FEW, MANY)] == [1, 2]
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """The same, brought back to that after each test."""
    yield running
    if active(running) != 2:
        post(running, "/v1/models/films/versions/2/activate")
    for row in running.get("/v1/models/films")["versions"]:
        if row["version"] > 2:
            delete(running, f"/v1/models/films/versions/{row['version']}")


def active(server: Server) -> int | None:
    """The version that answers."""
    number: int | None = server.get("/v1/models/films")["active"]
    return number


def versions(server: Server) -> list[int]:
    """All versions, the newest first."""
    return [row["version"] for row in server.get("/v1/models/films")["versions"]]


def post(server: Server, path: str) -> None:
    """What another tab does."""
    reply = server.http.post(path)
    assert reply.status_code == 200, reply.text


def delete(server: Server, path: str) -> None:
    """What another tab does."""
    assert server.http.delete(path).status_code == 204


def replace(server: Server, dataset: str, rows: int) -> None:
    """What another tab does."""
    server.put(dataset, films(rows), replace="true")


def choose(page: Page, file: Path, rows: int) -> None:
    """Choose a file to upload."""
    file.write_text(films(rows), encoding="utf-8")
    page.tab.click("text=Upload another file")
    page.tab.set_input_files("input[name=items]", str(file))


def clusters(content: str) -> set[str]:
    """Different clusters in an export."""
    return {row["cluster"] for row in csv.DictReader(io.StringIO(content))}


# -- which version -----------------------------------------------------------------------------


def test_all_that_is_asked_for_is_of_the_version_on_the_screen(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server, "#model=films&v=1")
    tab = page.tab
    page.says("You are looking at version 1 of films. Version 2 is the active one.")
    page.search("ghost")
    tab.click("text=More and similar >> nth=0")
    tab.wait_for_selector("dialog[open] .similar")
    tab.keyboard.press("Escape")
    tab.click("#tab-map")
    tab.wait_for_selector(".map canvas")
    tab.wait_for_selector(".clusters a")
    assert tab.locator(".clusters a").count() == FEW
    tab.click(".clusters a >> nth=0")
    tab.wait_for_selector(".members li")
    tab.click("#tab-report")
    page.says("Report on films, version 1")
    asked = [urlsplit(url) for url in page.asked if "v1/models/films/" in url]
    parts = {url.path.split("/")[3] for url in asked}
    assert parts == {"clusters", "columns", "recommend", "items", "map", "report"}
    assert {parse_qs(url.query)["version"][0] for url in asked} == {"1"}
    page.fine()


def test_downloads_are_of_the_version_on_the_screen(browser: Any, server: Server) -> None:
    for version, k in ((1, FEW), (2, MANY)):
        page = Page(browser, server, f"#tab=versions&model=films&v={version}")
        with page.tab.expect_download() as download:
            page.tab.click(f"text=Download clusters of version {version}")
        assert download.value.suggested_filename == f"films-{version}.csv"
        assert len(clusters(Path(download.value.path()).read_text(encoding="utf-8"))) == k
        with page.tab.expect_download() as download:
            page.tab.click(f"text=Download version {version} as a file")
        assert download.value.suggested_filename == f"films-{version}.tar"
        assert Path(download.value.path()).read_bytes() == server.archive("films", version=version)
        page.fine()


def test_what_another_tab_activates_is_told_and_moves_nothing(browser: Any, server: Server) -> None:
    page = Page(browser, server)
    tab = page.tab
    page.says(f"What is in here: {MANY} clusters")
    post(server, "/v1/models/films/versions/1/activate")
    page.look_again()
    page.says("You are looking at version 2 of films. Version 1 is the active one.")
    page.search("ghost")
    assert "version=2" in page.last("recommend")
    tab.click("text=Show version 1")
    tab.wait_for_selector("#which >> text=version 1")
    tab.wait_for_selector(".region:not([aria-busy]) .results > li")
    assert "version=1" in page.last("recommend")
    page.fine()


def test_what_is_narrowed_to_a_cluster_is_so_in_the_version_on_the_screen(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server)
    tab = page.tab
    page.search("the")
    tab.click(".facet >> nth=0")
    tab.wait_for_selector(".facet[aria-current]")
    tab.wait_for_selector(".region:not([aria-busy]) .results > li")
    (label,) = parse_qs(urlsplit(page.last("recommend")).query)["cluster"]
    tab.click("#tab-versions")
    tab.click('tbody th a:text-is("1")')  # whose clusters have other numbers
    page.says("Report on films, version 1")
    tab.click("#tab-search")
    tab.wait_for_selector(".region:not([aria-busy]) .results > li")
    asked = parse_qs(urlsplit(page.last("recommend")).query)
    assert (asked["q"], asked["version"], "cluster" in asked) == (["the"], ["1"], False)
    assert int(label) < MANY
    page.fine()


def test_another_model_is_not_shown_instead_when_it_comes_or_goes(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server)
    tab = page.tab
    page.says(f"What is in here: {MANY} clusters")
    server.fit("films", "others", n_clusters=4)  # the newest from now on
    page.look_again()
    tab.wait_for_selector("#models")
    assert tab.input_value("#models") == "films"
    tab.click("#tab-report")
    page.says("Report on films, version 2")
    tab.select_option("#models", "others")
    page.says("Report on others, version 1")
    delete(server, "/v1/models/others")
    page.look_again()
    page.says("There is no model called “others” here, or not any more.")
    assert not tab.is_visible("#panel-report")
    page.fine()


def test_a_version_that_goes_while_it_is_looked_at(browser: Any, server: Server) -> None:
    version = server.fit("films", n_clusters=5)
    post(server, "/v1/models/films/versions/2/activate")
    search = Page(browser, server, f"#model=films&v={version}")
    search.says("What is in here: 5 clusters")
    table = Page(browser, server, f"#tab=versions&model=films&v={version}")
    table.tab.wait_for_selector(f"text=Activate {version}")
    delete(server, f"/v1/models/films/versions/{version}")
    search.tab.fill("#query", "ghost")
    search.tab.keyboard.press("Enter")
    search.says(f"Version {version} of films is not there, or not any more.")
    search.tab.click("text=Show version 2")
    search.tab.wait_for_selector(".results > li")
    table.tab.click(f"text=Activate {version}")
    table.says(f"Meanwhile version {version} of films was deleted. Nothing was done")
    assert active(server) == 2
    table.tab.wait_for_selector(f"text=Activate {version}", state="detached")
    search.fine()
    table.fine()


# -- versions ----------------------------------------------------------------------------------


def test_older_versions_stay_in_reach_when_the_newest_goes(browser: Any, server: Server) -> None:
    for version in (1, 2):
        post(server, f"/v1/models/films/versions/{version}/activate")
    page = Page(browser, server, "#tab=versions")
    tab = page.tab
    tab.wait_for_selector("text=Go back to version 1")
    newest = server.fit("films", n_clusters=5)  # which is active now, and 2 was before it
    tab.click("text=Go back to version 1")
    page.says(f"Meanwhile version {newest} of films was made the active one. Nothing was done")
    assert active(server) == newest
    tab.click("text=Go back to version 2")
    page.says("Version 2 of films is the active one now.")
    assert active(server) == 2
    tab.click(f'tbody th a:text-is("{newest}")')
    page.says(f"Report on films, version {newest}")
    tab.click("#tab-versions")
    tab.click(f"text=Delete {newest}")
    page.confirm(f"Delete version {newest} of films")
    page.says(f"Version {newest} of films is deleted.")
    assert versions(server) == [2, 1]
    tab.click('[aria-label="Activate version 1 of films"]')
    page.says("Version 1 of films is the active one now.")
    assert active(server) == 1
    tab.click('tbody th a:text-is("2")')
    page.says("Report on films, version 2")
    tab.click("#tab-search")
    page.says(f"What is in here: {MANY} clusters")
    page.fine()


def test_a_version_that_was_activated_meanwhile_is_not_deleted(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server, "#tab=versions")
    page.tab.click("text=Delete 1")
    page.tab.wait_for_selector("dialog >> text=Delete version 1 of films?")
    post(server, "/v1/models/films/versions/1/activate")
    page.confirm("Delete version 1 of films")
    page.says("version 1 is active: activate another one first")
    assert versions(server) == [2, 1]
    page.fine()


def test_a_version_can_be_chosen_where_that_on_the_screen_never_was(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server, "#model=films&v=99")
    page.says("Version 99 of films is not there")
    page.tab.click("#tab-versions")
    page.tab.click('[aria-label="Activate version 1 of films"]')
    page.says("Version 1 of films is the active one now.")
    page.tab.click("#tab-search")
    page.says(f"What is in here: {FEW} clusters")
    page.fine()


def test_a_tab_that_is_opened_before_the_page_has_looked_again_keeps_what_was_chosen(
    browser: Any, server: Server
) -> None:
    page = Page(browser, server, "#model=films&v=99")
    page.says("Version 99 of films is not there")
    page.tab.click("#tab-versions")
    page.tab.wait_for_selector('[aria-label="Activate version 1 of films"]')
    waiting: list[Any] = []
    page.tab.route("**/v1/info", lambda route: waiting.append(route))
    page.tab.click('[aria-label="Activate version 1 of films"]')
    page.says("Version 1 of films is the active one now.")
    page.tab.click("#tab-search")
    assert "v=99" not in page.tab.url
    (request,) = waiting
    request.continue_()
    page.says(f"What is in here: {FEW} clusters")
    page.fine()


def test_a_version_can_be_chosen_where_the_active_one_was_lost(
    browser: Any, server: Server
) -> None:
    lost = server.fit("films", n_clusters=5)
    with sqlite3.connect(server.data / "registry.sqlite") as registry:
        query = "SELECT folder FROM versions WHERE version = ?"
        (folder,) = registry.execute(query, (lost,)).fetchone()
    registry.close()
    server.get("/v1/models/films/clusters", version=1)
    (server.data / "models" / folder / "manifest.json").write_bytes(b"{}")
    assert server.http.get("/v1/models/films/clusters").status_code == 409
    page = Page(browser, server)
    tab = page.tab
    tab.wait_for_selector("text=/No version of films is active|of films is damaged/")
    tab.click("text=See the versions of films")
    tab.wait_for_selector("text=damaged")
    tab.click('[aria-label="Activate version 1 of films"]')
    page.says("Version 1 of films is the active one now.")
    tab.click(f"text=Delete {lost}")
    page.confirm(f"Delete version {lost} of films")
    page.says(f"Version {lost} of films is deleted.")
    tab.click("#tab-search")
    page.says(f"What is in here: {FEW} clusters")
    page.fine()


# -- data --------------------------------------------------------------------------------------


def test_a_fit_after_an_upload_is_of_what_was_uploaded(
    browser: Any, server: Server, tmp_path: Path
) -> None:
    page = Page(browser, server, "#tab=build")
    tab = page.tab
    tab.fill("input[name=n_clusters]", "6")
    choose(page, tmp_path / "novels.csv", 30)
    tab.click("text=Upload as “novels”")
    page.says("“novels” is uploaded: 30 rows.")
    assert tab.input_value("select[name=dataset]") == "novels"
    page.says("Makes the model “novels”, which answers at once.")
    tab.click("text=Make clusters of “novels”")
    page.says("Version 1 of novels is ready.")
    page.says("Makes a new version of the model “novels”, which answers at once in place of")
    (version,) = server.get("/v1/models/novels")["versions"]
    # What had been filled in before the upload still counted.
    assert (version["dataset"], version["metrics"]["n_clusters"]) == ("novels", 6)
    assert versions(server) == [2, 1]
    tab.click("text=Search it")
    tab.wait_for_selector("#which >> text=version 1")
    assert tab.input_value("#models") == "novels"
    delete(server, "/v1/models/novels")
    delete(server, "/v1/datasets/novels")
    page.fine()


def test_an_upload_asks_before_it_replaces(browser: Any, server: Server, tmp_path: Path) -> None:
    server.put("novels", films(30))
    page = Page(browser, server, "#tab=build")
    tab = page.tab
    choose(page, tmp_path / "novels.csv", 25)
    page.says("There is a data set “novels” (30 rows")
    tab.click("text=Upload as “novels”")
    tab.click("dialog >> text=Cancel")
    page.says("Nothing was uploaded, and “novels” is as it was.")
    assert server.get("/v1/datasets/novels")["rows"] == 30
    tab.click("text=Upload as “novels”")
    tab.wait_for_selector("dialog >> text=30 rows")
    replace(server, "novels", 35)  # which is not what the reader is asked about
    page.confirm("Replace “novels”")
    tab.wait_for_selector("dialog >> text=35 rows")
    assert server.get("/v1/datasets/novels")["rows"] == 35
    page.confirm("Replace “novels”")
    page.says("“novels” is uploaded: 25 rows.")
    assert server.get("/v1/datasets/novels")["rows"] == 25
    delete(server, "/v1/datasets/novels")
    page.fine()


def test_an_upload_asks_where_the_name_was_taken_meanwhile(
    browser: Any, server: Server, tmp_path: Path
) -> None:
    page = Page(browser, server, "#tab=build")
    tab = page.tab
    choose(page, tmp_path / "novels.csv", 25)
    tab.wait_for_selector("text=Upload as “novels”")

    def overtake(route: Any) -> None:
        server.put("novels", films(40))
        route.continue_()

    tab.route("**/items*", overtake, times=1)
    tab.click("text=Upload as “novels”")
    tab.wait_for_selector("dialog >> text=40 rows")
    tab.click("dialog >> text=Cancel")
    page.says("Nothing was uploaded")
    assert server.get("/v1/datasets/novels")["rows"] == 40
    delete(server, "/v1/datasets/novels")
    page.fine()


def test_data_that_were_changed_meanwhile_are_not_used(browser: Any, server: Server) -> None:
    server.put("novels", films(30))
    page = Page(browser, server, "#tab=build")
    tab = page.tab
    page.says("Choose the data first.")  # there are two
    tab.select_option("select[name=dataset]", "novels")
    page.says("Takes “novels”, 30 rows")
    replace(server, "novels", 20)
    tab.click("text=Make clusters of “novels”")
    tab.wait_for_selector("form .bad >> text=was replaced")
    page.says("Takes “novels”, 20 rows")
    tab.click('[aria-label="Delete the data novels"]')
    tab.wait_for_selector("dialog >> text=20 rows")
    replace(server, "novels", 25)
    page.confirm("Delete “novels”")
    page.says("was replaced meanwhile")
    assert server.get("/v1/datasets/novels")["rows"] == 25
    delete(server, "/v1/datasets/novels")
    tab.click("text=Make clusters of “novels”")
    tab.wait_for_selector("form .bad >> text=there is no dataset")
    page.says("Choose the data first.")  # and films do not slip into their place
    assert tab.input_value("select[name=dataset]") == ""
    assert [each["name"] for each in server.get("/v1/models")["models"]] == ["films"]
    page.fine()


# -- what it rests on --------------------------------------------------------------------------


def test_a_revision_is_of_one_content(server: Server) -> None:
    before = server.put("novels", films(30))["revision"]
    tag = server.http.get("/v1/datasets/novels").headers["etag"]
    assert tag == f'"{before}"'
    credits = "movie_id,title,cast,crew\n1,A,[],[]\n"
    after = server.put("novels", credits, part="credits")["revision"]
    assert after != before

    def change(method: str, path: str, **about: Any) -> tuple[int, str]:
        reply = server.http.request(method, f"/v1/{path}", **about)
        return reply.status_code, reply.json().get("code", "")

    old = {"if-match": tag}
    for path in ("novels/items?replace=true", "novels/credits", "nothing/items"):
        reply = change("PUT", f"datasets/{path}", headers=old | {"content-type": CSV}, content="a")
        assert reply == (412, "dataset_changed")
    assert change("DELETE", "datasets/novels", headers=old) == (412, "dataset_changed")
    job = {"dataset": "novels", "revision": before}
    assert change("POST", "jobs", json=job) == (409, "dataset_changed")
    assert server.http.delete("/v1/datasets/novels", headers={"if-match": f'"{after}"'}).is_success
