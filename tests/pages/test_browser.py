"""The page in a browser: it asks nothing of anybody, draws, sorts, filters, and fits a phone."""

import shutil

import pytest
from conftest import ROOT

PAGE = ROOT / "results" / "page" / "index.html"
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.skipif(not PAGE.exists(), reason="no page yet: python -m experiments.page"),
]


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
    with sync.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """A function that opens the page, by its width and colours; what went wrong or out is in `said` and `asked`."""
    contexts = []

    def visit(width=1280, colours="light", anchor=""):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(PAGE.as_uri() + anchor)
        return page

    yield visit
    for context in contexts:
        context.close()


def until(page, expression, seconds=30):
    """Wait until that holds; the driver's own waiting evaluates text, which the page's policy forbids."""
    for _ in range(10 * seconds):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never held: {expression}")


def draw_everything(page):
    """Open all that is folded, show all scales, and come past every picture."""
    for radio in page.query_selector_all("form.filters input[type=radio][value='']"):
        radio.check()
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for plot in page.query_selector_all(".plot"):
        plot.scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('.plot')].every(one => one.dataset.state === 'drawn')")


@pytest.mark.slow
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_every_picture_is_drawn_without_an_error_or_a_request(colours, opened):
    page = opened(colours=colours)
    draw_everything(page)
    marks = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(one => one.querySelectorAll('svg path, svg text').length)"
    )
    assert len(marks) > 10
    assert min(marks) > 10
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [PAGE.as_uri()]


def test_the_first_paint_comes_within_two_seconds(opened):
    page = opened()
    until(page, "performance.getEntriesByName('first-contentful-paint').length > 0")
    assert page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") < 2000


def test_a_click_on_a_columns_title_sorts_by_it_with_what_is_missing_last(opened):
    page = opened()
    for title, down in [("Pooled", True), ("Pooled", False), ("Method", True)]:
        page.click(f"#table-ip_protection thead button:text-is('{title}')")
        place = page.evaluate(
            "title => [...document.querySelectorAll('#table-ip_protection thead th')]"
            ".findIndex(one => one.textContent === title)",
            title,
        )
        shown = page.evaluate(
            "place => [...document.querySelectorAll('#table-ip_protection tbody')]"
            ".map(one => one.rows[0].cells[place].innerText)",
            place,
        )
        if title == "Method":
            assert shown == sorted(shown, key=str.casefold) or shown[0] < shown[-1]
            continue
        numbers = [float(text.split()[0]) for text in shown if not text.startswith("—")]
        assert numbers == sorted(numbers, reverse=down)
        assert all(text.startswith("—") for text in shown[len(numbers) :])


def test_filters_show_what_they_say(opened):
    page = opened()
    form = page.locator("#ip_protection form.filters")
    rows = "[...document.querySelectorAll('#table-ip_protection tbody')].filter(one => one.offsetParent)"
    everything = page.evaluate(f"{rows}.length")
    form.locator("[name=method]").fill("modelgif")
    names = page.evaluate(f"{rows}.map(one => one.rows[0].cells[0].textContent)")
    assert 0 < len(names) < everything
    assert all("modelgif" in name.lower() for name in names)
    form.locator("[name=method]").fill("")
    form.locator("[name=access]").select_option("label")
    assert set(page.evaluate(f"{rows}.map(one => one.rows[0].cells[1].textContent)")) == {"label"}
    form.locator("[name=access]").select_option("")
    form.locator("[name=columns]").select_option("extract_l")
    heads = page.locator("#table-ip_protection thead th:visible").all_inner_texts()
    assert any(head.startswith("Extract-L") for head in heads)
    assert not any(head.startswith("Extract-P") for head in heads)
    form.locator("input[type=radio][value=paper]").check()
    assert page.locator("#ip_protection_paper").is_visible()
    assert not page.locator("#table-ip_protection").is_visible()
    form.locator("[name=published]").uncheck()
    assert page.locator("#ip_protection_paper tr.published:visible").count() == 0


def test_a_number_that_is_missing_is_shown_as_missing(opened):
    page = opened(anchor="#ip_protection_paper")
    cells = page.locator("#table-ip_protection_paper tbody tr:not(.published) td.none:visible")
    assert cells.count() > 0
    assert set(cells.all_text_contents()) == {"—missing"}


def test_everything_is_within_reach_of_the_keyboard(opened):
    page = opened()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(() => { const at = document.activeElement, style = getComputedStyle(at);"
                " return [at.tagName, at.className || at.name || at.id || at.hash || '', style.outlineStyle]; })()"
            )
        )
    assert reached[0][:2] == ["A", "skip"]
    tags = {tag for tag, _, _ in reached}
    assert {"A", "BUTTON", "SUMMARY", "SELECT", "INPUT", "DIV"} <= tags
    assert all(outline not in ("none", "") for tag, _, outline in reached if tag in ("A", "BUTTON", "SUMMARY"))
    page.locator("#table-ip_protection thead button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#table-ip_protection th[aria-sort]").count() == 1


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_scrolls_tables_in_their_boxes_and_never_the_page(colours, opened):
    page = opened(width=390, colours=colours)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#ip_protection .box").first.evaluate("one => one.scrollWidth > one.clientWidth")


def test_the_button_turns_light_into_dark_and_pictures_with_it(opened):
    page = opened()
    page.wait_for_selector(".card .plot.drawn svg")
    ground = "getComputedStyle(document.body).backgroundColor"
    colour = "document.querySelector('.card .plot svg text[fill]').getAttribute('fill')"
    light, ink = page.evaluate(ground), page.evaluate(colour)
    page.click("#theme")
    until(page, f"{colour} !== '{ink}'")
    assert page.evaluate(ground) != light
    assert page.said == []


def test_a_link_to_what_is_folded_opens_it(opened):
    page = opened(anchor="#table-ip_budget")
    assert page.locator("#table-ip_budget").is_visible()
