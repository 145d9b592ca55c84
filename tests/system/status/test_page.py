# SPDX-License-Identifier: MIT
"""The status page in a browser: what it shows, what it refuses to be, and whom it is for."""

import base64
import hashlib
import itertools
import json
import re
import subprocess

import pytest

from support import page_picture, page_server
from support.browser import Browser
from support.page_server import HOSTILE, PageServer, World, proxy, server
from support.proc import wait_until

pytestmark = pytest.mark.plain_only("nothing of the daemon runs")

SIZES = [(360, 740), (768, 1024), (1280, 900), (2560, 1440), (3840, 2160)]
SCHEMES = ["light", "dark"]
SHOWN = "document.querySelectorAll('.band').length > 0"


@pytest.fixture(scope="module")
def chromium():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    chromium.renew()
    return chromium


@pytest.fixture
def show(browser):
    """Opens the page on a world; in the end the console was silent and nobody else was asked."""
    servers = []

    def show(world, until=SHOWN, **options):
        servers.append(PageServer(world, **options))
        browser.open(f"http://{servers[-1].address}/")
        browser.wait(until)
        return servers[-1]

    show.may_complain = False
    yield show
    complaints = browser.complaints()
    foreign = [url for url in browser.requests()
               if not url.startswith(("data:", *(f"http://{one.address}/" for one in servers)))]
    for one in servers:
        one.end()
    assert foreign == []
    assert show.may_complain or complaints == []


def one_proxy(**more):
    return World([proxy("web", ["127.0.0.1:8443"], [server("10.0.0.1:80"), server("10.0.0.2:80")], **more)])


def has(selector, text):
    """An expression: whether what is there has that text."""
    return f"(document.querySelector({json.dumps(selector)})?.textContent ?? '').includes({json.dumps(text)})"


def number(browser, expression):
    return browser.ask(f"document.querySelectorAll({json.dumps(expression)}).length")


# ---- what it shows ----


def test_an_open_connection_is_there_with_its_rate_its_end_and_the_reason(browser, show):
    world = one_proxy()
    show(world)
    browser.wait("!document.getElementById('no-rows').hidden")
    with world.lock:
        front = world.proxies[0]
        one = world.connect(front, front["servers"][0], client="192.0.2.7:4711", rate=(5000, 2e6))
    browser.wait(has("#rows", "192.0.2.7:4711"))
    browser.wait(has("#rows", one["id"]))
    browser.wait(has("#rows", "MB/s"))
    browser.wait(has(".node.proxy", "MB/s"))
    browser.wait(has("#rate-down", "MB/s"))
    browser.wait("document.querySelectorAll('.lane.busy').length === 4")
    assert browser.text("#open") == "1"
    world.end(one, "idle timeout")
    browser.wait(has("#ended-list", "idle timeout"))
    browser.wait(has("#ended-list", "192.0.2.7:4711"))
    browser.wait(f"!({has('#rows', '192.0.2.7:4711')})")
    browser.wait("document.querySelectorAll('.lane.busy').length === 0")


def test_a_wide_line_has_more_bytes_than_a_narrow_one(browser, show):
    world = World([proxy(name, [f"127.0.0.1:{port}"], [server(f"10.0.0.1:{port}")])
                   for name, port in (("idle", 1), ("slow", 2), ("quick", 3), ("fast", 4))])
    for front, rate in zip(world.proxies, (0, 2e3, 2e6, 2e9)):
        world.connect(front, front["servers"][0], rate=(rate, rate))
    show(world)
    browser.wait("document.querySelectorAll('.lane.busy').length === 12")
    widths = browser.ask("[...document.querySelectorAll('.band')].map(band =>"
                         " Number(band.querySelector('.lane').getAttribute('stroke-width')))")
    assert all(less < more for less, more in itertools.pairwise(widths)), widths


@pytest.mark.parametrize("state", ["suspect", "down", "unknown"])
def test_a_server_that_is_not_up_is_told_by_word_shape_and_colour(browser, show, state):
    world = one_proxy()
    show(world)
    up = "getComputedStyle(document.querySelectorAll('.node.server .state')[0])"
    other = up.replace("[0]", "[1]")
    browser.wait(has("#health", "All 2 servers are up."))
    with world.lock:
        world.proxies[0]["servers"][1]["state"] = state
    browser.wait(f"document.querySelectorAll('.node.server')[1].textContent.includes('{state}')")
    assert browser.ask(f"{up}.color") != browser.ask(f"{other}.color")
    shape = "getComputedStyle(document.querySelectorAll('.node.server i')[{}])"
    assert browser.ask(f"['clipPath', 'borderStyle'].some(key => {shape.format(0)}[key] !== {shape.format(1)}[key])")
    browser.wait(f"!({has('#health', 'All')})")
    browser.wait(has("#spoken", "1 server of 2 is " + ("down: 10.0.0.2:80 of web." if state == "down" else "suspect")))


def test_backups_units_and_held_clients_are_told(browser, show):
    show(page_server.demo())
    assert browser.ask(has(".node.is-backup", "backup"))
    assert browser.ask(has("#flow", "wiki.service starting"))
    assert browser.ask(has("#flow", "2 waiting"))
    assert browser.text("#held") == "3"
    assert browser.ask(has("#servers-not", "1\u00a0suspect, 1\u00a0down, 1\u00a0unknown"))


def test_draining_and_what_is_unhealthy_are_said(browser, show):
    world = one_proxy()
    show(world)
    browser.wait(has("#state", "running"))
    world.reason = "every server of proxy web is down"
    browser.wait(has("#notice", "every server of proxy web is down"))
    assert browser.text("#state") == "unhealthy"
    world.state, world.reason = "draining", None
    browser.wait(has("#state", "draining"))
    browser.wait(has("#notice", "Draining"))
    assert "draining" in browser.ask("document.title")


def test_the_table_has_what_the_drawing_has(browser, show):
    show(page_server.demo())
    browser.ask("document.querySelector('#proxies-fold').open = true")
    browser.wait(has("#proxies-table tbody", "vm-ssh"))
    table = browser.text("#proxies-table")
    for text in ("[::]:8443", "10.0.0.13:8080", "down", "backup", "wiki.service starting", "unknown"):
        assert text in table


# ---- many of everything ----


def test_five_thousand_connections_are_a_window(browser, show):
    world = page_server.many(10, 5000)
    show(world, until="document.querySelectorAll('#rows tr').length > 5")
    assert browser.text("#range") == "5,000"
    assert number(browser, "#rows tr") < 100
    assert browser.ask("document.querySelector('#rows-table').getAttribute('aria-rowcount')") == "5001"
    browser.ask("document.querySelector('#viewport').scrollTop = 1e5")
    browser.wait("document.querySelector('#rows tr:nth-child(3)').getAttribute('aria-rowindex') > 1000")
    browser.wait("document.querySelector('#rows tr:nth-child(3) td').textContent !== ''")
    assert number(browser, "#rows tr") < 100
    assert all(int(query["rows"]) <= 200 for query in world.asked)
    assert int(world.asked[-1]["first"]) > 1000


def test_connections_that_end_while_the_list_is_scrolled_leave_no_gap(browser, show):
    world = page_server.many(10, 2000)
    show(world, until="document.querySelectorAll('#rows tr').length > 5")
    browser.ask("document.querySelector('#viewport').scrollTop = 1e6")
    browser.wait("document.querySelector('#rows tr:nth-child(5)').getAttribute('aria-rowindex') > 1500")
    with world.lock:
        for one in world.connections[:1990]:
            world.end(one)
    browser.wait("document.querySelectorAll('#rows tr:not(.space)').length === 10")
    browser.wait("[...document.querySelectorAll('#rows td:first-child')].every(cell => cell.textContent)")


def test_of_those_that_have_ended_the_last_ones_stay(browser, show):
    world = page_server.many(1, 250)
    show(world)
    for end in (150, 50):
        with world.lock:
            for one in world.connections[end:]:
                world.end(one, f"the {one['id']}")
        browser.wait(f"document.querySelector('#open').textContent === '{end}'")
        browser.wait(has("#ended-list li", one["id"]))
    assert number(browser, "#ended-list li") == 200
    with world.lock:
        last = world.connections[0]
        world.end(last)
    browser.wait(has("#ended-list li", last["id"]))
    assert number(browser, "#ended-list li") == 200


def test_a_button_sorts_and_says_so(browser, show):
    world = page_server.many(3, 50)
    show(world, until="document.querySelectorAll('#rows tr').length > 5")
    order = "document.querySelector('th.c-client').getAttribute('aria-sort')"
    for wanted, inverse in (("ascending", False), ("descending", True)):
        browser.ask("document.querySelector('[data-key=client]').click()")
        assert browser.ask(order) == wanted
        clients = sorted((one["client"] for one in world.connections), reverse=inverse)
        browser.wait(f"document.querySelector('#rows td').textContent === {json.dumps(clients[0])}")
    assert number(browser, "[aria-sort]") == 1
    assert (world.asked[-1]["sort"], world.asked[-1]["order"]) == ("client", "desc")


def test_of_a_thousand_proxies_the_busiest_are_drawn(browser, show):
    world = page_server.many(1000, 0)
    for front in (world.proxies[17], world.proxies[801]):
        world.connect(front, front["servers"][0], rate=(1e6, 1e6))
    show(world)
    browser.wait(has("#flow", "proxy-0017"))
    browser.wait(has("#flow", "proxy-0801"))
    assert number(browser, ".band") == 12
    assert browser.text("#shown") == "The 12 busiest of 1,000 proxies"
    browser.ask("document.querySelector('#show-more').click()")
    assert number(browser, ".band") == 24


def type_filter(browser, text):
    browser.ask("document.querySelector('#filter').focus()")
    browser.ask("document.querySelector('#filter').select()")
    browser.call("Input.insertText", text=text)


def test_a_filter_finds_any_of_a_thousand_by_name_or_address(browser, show):
    show(page_server.many(1000, 0))
    for text in ("PROXY-0999", "10.1.3.249", "127.0.0.1:20999"):
        type_filter(browser, text)
        browser.wait("document.querySelectorAll('.band').length === 1")
        assert browser.ask(has(".band", "proxy-0999"))
    type_filter(browser, "nobody")
    browser.wait(has("#shown", "No proxy fits."))


def test_those_with_problems_are_found_among_a_thousand(browser, show):
    world = page_server.many(1000, 0)
    show(world)
    browser.ask("document.querySelector('#trouble').click()")
    browser.wait(has("#shown", "No proxy fits."))
    with world.lock:
        world.proxies[500]["servers"][0]["state"] = "down"
    browser.wait(has(".band", "proxy-0500"))
    assert number(browser, ".band") == 1


# ---- the stream ----


def set_visibility(browser, state):
    browser.ask(f"Object.defineProperty(document, 'visibilityState', {{value: '{state}', configurable: true}})")
    browser.ask("document.dispatchEvent(new Event('visibilitychange'))")


def test_nothing_is_asked_for_while_the_page_is_hidden(browser, show):
    serving = show(one_proxy())
    wait_until(lambda: len(serving.streams) == 1, "a stream", 60)
    set_visibility(browser, "hidden")
    wait_until(lambda: not serving.streams, "the stream has ended", 60)
    asked = len(serving.world.asked)
    set_visibility(browser, "visible")
    wait_until(lambda: len(serving.streams) == 1, "a stream", 60)
    assert len(serving.world.asked) == asked + 1


def test_a_lost_connection_is_said_and_made_again(browser, show):
    show.may_complain = True  # a browser does, about the connection
    serving = show(one_proxy())
    serving.refuses = True
    serving.end_streams()
    browser.wait(has("#notice", "lost"))
    browser.wait(has("#state", "not connected"))
    serving.refuses = False
    browser.wait(has("#state", "running"))
    browser.wait("document.querySelector('#notice').hidden")


def test_a_connection_without_news_is_made_again(browser, show):
    serving = show(one_proxy(), interval=3600)
    wait_until(lambda: len(serving.world.asked) >= 2, "another stream", 60)


def test_a_program_that_was_started_again_makes_no_wild_rates(browser, show):
    world = one_proxy()
    front = world.proxies[0]
    world.connect(front, front["servers"][0], rate=(1000, 1000))
    show(world)
    browser.wait(has("#rate-up", "kB/s") + " || " + has("#rate-up", "B/s"))
    with world.lock:
        world.connections.clear()
        front["bytes"] = {"up": 10**15, "down": 10**15}
        world.began += 1  # which says when it was started
    browser.ask("window.most = ''; new MutationObserver(() => {"
                " most += document.querySelector('#rate-up').textContent; })"
                ".observe(document.querySelector('#rate-up'), {childList: true, characterData: true, subtree: true})")
    browser.wait(has("#rate-up", "0") + " && " + f"!({has('#rate-up', 'k')})")
    assert not re.search("[MGTP]B", browser.ask("most"))


# ---- what others have named ----


def test_hostile_names_are_shown_as_they_are(browser, show):
    world = page_server.hostile()
    show(world, until=f"document.querySelectorAll('#rows tr').length >= {len(HOSTILE)}")
    browser.ask("document.querySelector('#proxies-fold').open = true")
    for one in list(world.connections):
        with world.lock:
            one["client"] = one["server"] = one["id"]
        world.end(one, one["id"])
    browser.wait(f"document.querySelector('#ended-list').children.length === {len(HOSTILE)}")
    shown = browser.ask("[...document.querySelectorAll('#flow .name, #ended-list .why, #proxies-table tbody th')]"
                        ".map(one => one.textContent)")
    for text in HOSTILE:
        assert shown.count(text) == 5, text  # listener, proxy, server, reason, row of the table
        assert text + "2" in shown
    assert browser.ask("typeof hacked") == "undefined"
    assert number(browser, "script") == 1
    assert number(browser, "img, [onerror], [onmouseover], #flow b, #flow script") == 0


def test_policy_is_by_the_hashes_of_what_is_in_the_file():
    before, after, policy = page_server.built()
    file = (page_server.STATUS / "page.html").read_bytes()
    assert before + b"<!-- proxies -->\n" + after == file
    for tag in ("script", "style"):
        text, = re.findall(f"\n<{tag}>(.*?)</{tag}>".encode(), file, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert re.search(rb"\sstyle=|\son[a-z]+=|https?://(?!www\.w3\.org)|innerHTML|insertAdjacent|document\.write",
                     file) is None


@pytest.mark.parametrize("line", ["<!-- proxies -->", "<script>"])
def test_a_page_that_cannot_be_taken_apart_is_not_built(tmp_path, line):
    file = tmp_path / "page.html"
    file.write_text((page_server.STATUS / "page.html").read_text().replace(f"{line}\n", "\n"))
    done = subprocess.run(["sh", page_server.STATUS / "embed.sh", file], capture_output=True, text=True)
    assert done.returncode != 0
    assert f"not exactly one line is {line}" in done.stderr


def test_markup_that_gets_in_all_the_same_runs_nothing(browser, show):
    """The policy is what holds then."""
    show.may_complain = True
    show(one_proxy())
    browser.ask("(() => { const script = document.createElement('script');"
                " try { script.text = 'hacked = 1'; document.body.append(script); } catch {} })()")
    browser.ask("(() => { const button = document.createElement('button');"
                " try { button.setAttribute('onclick', 'hacked = 1'); } catch {}"
                " document.body.append(button); button.click(); })()")
    assert browser.ask("typeof hacked") == "undefined"
    assert browser.complaints()


# ---- whom it is for ----


@pytest.mark.parametrize("world", [page_server.demo, page_server.hostile], ids=["demo", "hostile"])
def test_nothing_is_wider_than_the_window(browser, show, world):
    show(world(), until="document.querySelectorAll('#rows tr').length > 5")
    browser.ask("document.querySelector('#proxies-fold').open = true")
    browser.wait("document.querySelectorAll('#proxies-table tbody tr').length > 3")
    for (width, height), scheme in itertools.product(SIZES, SCHEMES):
        browser.size(width, height)
        browser.media(prefers_color_scheme=scheme)
        browser.wait(f"innerWidth === {width}")
        assert browser.ask("document.documentElement.scrollWidth") <= width, (width, scheme)


def test_it_is_a_table_without_script(browser, show):
    browser.without_script()
    show(page_server.demo(), until="1")
    text = browser.text("main")
    assert "postgres" in text
    assert "With JavaScript" in text
    for section in ("totals", "drawing", "connections", "ended"):
        assert browser.ask(f"document.getElementById('{section}').hidden")


def contrast(one, other):
    def light(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(share * (part / 12.92 if part <= .04045 else ((part + .055) / 1.055) ** 2.4)
                   for share, part in zip((.2126, .7152, .0722), parts))

    less, more = sorted((light(one), light(other)))
    return (more + .05) / (less + .05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_can_be_read_in_both_schemes(scheme):
    style = (page_server.STATUS / "page.html").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[SCHEMES.index(scheme)]))
    for name, ground in itertools.product(("text", "muted", "up", "down", "good", "warn", "bad"), ("surface", "page")):
        assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


@pytest.mark.parametrize("wanted", ["no-preference", "reduce"])
def test_nothing_moves_for_those_who_do_not_want_that(browser, show, wanted):
    world = one_proxy()
    world.connect(world.proxies[0], world.proxies[0]["servers"][0], rate=(1e6, 1e6))
    browser.media(prefers_reduced_motion=wanted)
    show(world)
    browser.wait("document.querySelectorAll('.lane.busy').length > 0")
    moving = "document.getAnimations().filter(one => one instanceof CSSAnimation).length"
    assert (browser.ask(moving) > 0) == (wanted == "no-preference")


def test_keys_reach_every_control_and_show_where_they_are(browser, show):
    world = page_server.many(20, 20)
    show(world, until="document.querySelectorAll('#rows tr').length > 5")
    reached = []
    for _ in range(30):
        browser.press("Tab")
        reached.append(browser.ask("document.activeElement.dataset.key || document.activeElement.id"
                                   " || document.activeElement.className || document.activeElement.tagName"))
        assert browser.ask("document.activeElement === document.body"
                           " || getComputedStyle(document.activeElement).outlineStyle !== 'none'"), reached
    wanted = ["skip", "filter", "trouble", "show-more", "SUMMARY", "viewport", "client", "proxy", "server", "age",
              "up", "down", "rate"]
    assert [one for one in reached if one in wanted][:len(wanted)] == wanted
    browser.ask("document.querySelector('[data-key=rate]').focus()")
    browser.press("Enter")
    assert browser.ask("document.querySelector('th.c-rate').getAttribute('aria-sort')") == "descending"


def test_a_screen_reader_finds_its_way(browser, show):
    show(page_server.demo(), until="document.querySelectorAll('#rows tr').length > 5")
    browser.ask("document.querySelector('#proxies-fold').open = true")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    found = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]}
    roles = {role for role, _ in found}
    assert {"banner", "main", "contentinfo"} <= roles
    for wanted in [("heading", "What goes where"), ("heading", "Open connections"), ("heading", "Ended lately"),
                   ("region", "Open connections"), ("button", "Client"), ("columnheader", "Proxy"),
                   ("table", "Open connections; the buttons of the columns sort them"),
                   ("table", "Proxies, what they listen on, and their servers")]:
        assert wanted in found, sorted(found)
    assert [name for role, name in found if role in ("image", "img")] == [
        "A drawing of listeners, proxies and servers. The table of proxies below says the same."]


def test_a_screen_reader_is_not_told_the_same_each_second(browser, show):
    world = page_server.many(5, 50)
    show(world)
    browser.wait(has("#spoken", "All 5 servers are up."))
    browser.ask("window.told = 0; new MutationObserver(() => { told++; })"
                ".observe(document.querySelector('#spoken'), {childList: true, characterData: true, subtree: true});"
                "window.seen = 0; new MutationObserver(() => { seen++; })"
                ".observe(document.querySelector('#rate-up'), {childList: true})")
    browser.wait("seen > 4")
    assert browser.ask("told") == 0


# ---- in the README ----


def test_the_picture_of_the_readme_can_be_made_anew(browser, tmp_path):
    """By "make page-picture", whenever the page has changed."""
    made = tmp_path / "page.png"
    page_picture.draw(browser, made)
    for picture in (made, page_server.STATUS / "page.png"):
        data = picture.read_bytes()
        assert data.startswith(b"\x89PNG\r\n") and len(data) < 150_000
        assert int.from_bytes(data[16:20], "big") == page_picture.WIDTH
    assert browser.complaints() == []
