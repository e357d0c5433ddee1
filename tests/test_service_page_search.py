"""The page's search in a browser: what people see of what is found, and how they narrow it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from serving import Server
from test_service_page import Page, browser, pytestmark

__all__ = ["browser", "pytestmark"]

READY = ".region:not([aria-busy]) .results > li"


@pytest.fixture(scope="module")
def plain(service: Server) -> Iterator[str]:
    """A model of texts without titles, and one of numbers alone."""
    texts = "\n".join(f"the printer on floor {at} jams and blinks" for at in range(30))
    numbers = "\n".join(f"{at % 2 * 50 + at % 5},{at % 2 * 9 + at % 3}" for at in range(30))
    service.put("tickets", f"message\n{texts}", text="message")
    service.put("genes", f"g1,g2\n{numbers}")
    for name in ("tickets", "genes"):
        service.fit(name, n_clusters=2)
    yield "tickets"
    for name in ("tickets", "genes"):
        for part in ("models", "datasets"):
            assert service.http.delete(f"/v1/{part}/{name}").is_success


def asked(page: Page) -> dict[str, list[str]]:
    """What was last asked of the search."""
    return parse_qs(urlsplit(page.last("recommend")).query)


def titles(tab: Any) -> list[str]:
    return tab.locator(".results .title a").all_inner_texts()


def test_results_are_explained_narrowed_and_shared(browser: Any, service: Server) -> None:
    page = Page(browser, service, "#model=films")
    tab = page.tab
    tab.wait_for_selector(".card")
    # Results come as one types, without a key that ends it, and what is typed stays.
    tab.click("#query")
    tab.keyboard.type("haunted hou", delay=20)
    tab.wait_for_url(re.compile("q=haunted.hou"))
    tab.wait_for_selector(READY)
    assert tab.input_value("#query") == "haunted hou"
    assert tab.locator(".results mark").count() > 0
    assert "in keywords: " in tab.inner_text(".why >> nth=0") + tab.inner_text(".results")
    everything = tab.inner_text(".summary")
    # A cluster's hits: one click restricts, another releases.
    facets = service.get("/v1/models/films/recommend", q="haunted hou")["facets"]
    shown = tab.locator(".facet").all_inner_texts()
    assert [text.split("\n")[-1] for text in shown[:3]] == [str(f["hits"]) for f in facets[:3]]
    tab.click(".facet >> nth=0")
    tab.wait_for_selector(".facet[aria-current=true]")
    tab.wait_for_selector(READY)
    assert asked(page)["cluster"] == [str(facets[0]["label"])]
    assert tab.inner_text(".summary").startswith(f"{facets[0]['hits']} results")
    tab.click(".facet[aria-current=true]")
    tab.wait_for_selector(".facet[aria-current]", state="detached")
    assert tab.inner_text(".summary") == everything
    # Conditions on columns, proposed by what they hold.
    tab.fill("input[name='year>=']", "2000")
    tab.keyboard.press("Tab")
    tab.wait_for_selector(".chosen >> text=Year from 2000")
    tab.select_option("select[name='genres=']", "Horror")
    tab.wait_for_selector(".chosen >> text=Genres: Horror")
    tab.wait_for_selector(READY)
    assert sorted(asked(page)["where"]) == ["genres=Horror", "year>=2000"]
    # Clusters mixed, another order: all of it stands in the address.
    tab.check("#spread")
    tab.wait_for_url(re.compile("spread=1"))
    tab.click("text=Words only")
    tab.wait_for_url(re.compile("rank=relevance"))
    tab.wait_for_selector(READY)
    assert (asked(page)["diversity"], asked(page)["rank"]) == (["2"], ["relevance"])
    before = titles(tab)
    other = Page(browser, service, "#" + urlsplit(tab.url).fragment)
    other.tab.wait_for_selector(READY)
    assert titles(other.tab) == before
    assert other.tab.input_value("#query") == "haunted hou"
    assert other.tab.input_value("select[name='genres=']") == "Horror"
    assert other.tab.is_checked("#spread")
    other.fine()
    # A chip takes its condition back.
    tab.click(".chosen >> text=Genres: Horror")
    tab.wait_for_selector(".chosen >> text=Genres: Horror", state="detached")
    tab.wait_for_selector(READY)
    assert asked(page)["where"] == ["year>=2000"]
    # The article's rule is an order of its own, in one cluster and without conditions.
    tab.click("text=Nearest cluster")
    page.says("in the nearest cluster")
    assert {"where", "cluster"} & set(asked(page)) == set()
    page.fine()


def test_words_that_nothing_has_are_put_right(browser: Any, service: Server) -> None:
    page = Page(browser, service, "#model=films&q=gohst+ship")
    tab = page.tab
    page.says("Nothing has “gohst”: these have")
    tab.click(".summary a:text-is('ghost')")
    tab.wait_for_url(re.compile("q=ghost.ship"))
    page.search("the")
    tab.fill("#query", "astronuatas")
    page.says("Did you mean")
    page.says("Nothing found")
    tab.click(".summary a >> nth=0")
    tab.wait_for_selector(READY)
    # What the conditions leave nothing of says so, and has a way out.
    tab.goto("about:blank")
    tab.goto(
        f"http://127.0.0.1:{service.port}/?from=a-friend#model=films&q=robot&where=year%3C%3D1950"
    )
    page.says("Nothing that matches passes the filters")
    tab.click("text=show everything that matches")
    tab.wait_for_selector(READY)
    assert "--" not in tab.inner_text("body")
    page.fine()


def test_liked_and_disliked_items_lead_to_others(browser: Any, service: Server) -> None:
    page = Page(browser, service, "#model=films&q=cold+spots")
    tab = page.tab
    tab.wait_for_selector(READY)
    tab.click('[aria-label="More like Cold Spots"]')
    tab.wait_for_selector(".chosen >> text=More like Cold Spots")
    tab.wait_for_selector(READY)
    assert asked(page)["like"] == ["1054"]
    assert "both have" in tab.inner_text(".results")
    second = titles(tab)[1]
    tab.click(f'[aria-label="Less like {second}"]')
    tab.wait_for_selector(f".chosen >> text=Less like {second}")
    tab.wait_for_selector(READY)
    assert second not in titles(tab)
    third = titles(tab)[0]
    tab.click(f'[aria-label="More like {third}"]')
    tab.wait_for_selector(f".chosen >> text=More like {third}")
    tab.wait_for_selector(READY)
    assert (len(asked(page)["like"]), len(asked(page)["dislike"])) == (2, 1)
    tab.reload()
    tab.wait_for_selector(READY)
    assert tab.locator(".chosen li").count() == 3
    # Words are another way to look; an item leads back to likeness.
    page.search("robot")
    tab.wait_for_url(lambda url: "like=" not in url)
    tab.click(".results .title a >> nth=0")
    tab.click("dialog[open] >> text=Search for more like this")
    tab.wait_for_selector(".chosen >> text=More like")
    page.fine()


def test_items_without_titles_are_called_by_what_they_have(
    browser: Any, service: Server, plain: str
) -> None:
    page = Page(browser, service, f"#model={plain}&q=printer")
    tab = page.tab
    tab.wait_for_selector(READY)
    assert titles(tab)[0].startswith("Item ")
    assert "Untitled" not in tab.inner_text("body")
    tab.click(".act >> nth=0")
    tab.wait_for_selector(".chosen >> text=More like the printer on floor")
    # Numbers alone: no words to look for, none to try, and conditions all the same.
    tab.goto("about:blank")
    tab.goto(f"http://127.0.0.1:{service.port}/#model=genes")
    tab.wait_for_selector(".card")
    assert not tab.is_visible("#query")
    assert "Try" not in tab.inner_text("#panel-search")
    tab.click("text=Filter all items")
    tab.fill("input[name='g1>=']", "50")
    tab.keyboard.press("Tab")
    tab.wait_for_selector(".chosen >> text=G1 from 50")
    tab.wait_for_selector(READY)
    assert tab.inner_text(".summary").startswith("15 items")
    page.fine()


def test_a_phone_narrows_by_keyboard_and_touch(browser: Any, service: Server) -> None:
    size = {"width": 390, "height": 844}
    page = Page(
        browser, service, "#model=films&q=house", viewport=size, color_scheme="dark", has_touch=True
    )
    tab = page.tab
    tab.wait_for_selector(READY)
    assert not tab.is_visible(".facet")  # the results come first
    tab.focus(".narrowing summary >> nth=0")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".facet")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".facet[aria-current]")
    tab.tap(".narrowing summary >> nth=1")
    tab.wait_for_selector("input[name='year>=']")
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.fine()
