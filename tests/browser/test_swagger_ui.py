"""Swagger UI in Chromium: it loads by itself, authorizes, and tries a call, in both ways to run the service."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from airflow_rest_api.web import contract
from tests.support import servers
from tests.support.fuzzing import login

HEADER_TOKEN = "token-of-the-page"
OLD_CALLS = "Calls of the old plugins"
# A page may take long on a busy machine.
MILLISECONDS = 30_000
expect.set_options(timeout=MILLISECONDS)
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=servers.COMMANDS)
def server(request, tmp_path_factory, pytestconfig) -> Iterator[servers.Server]:
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts servers of its own")
    token = {"AIRFLOW__REST_API__HTTP_TOKEN": f"page:admin:{HEADER_TOKEN}"}
    home = tmp_path_factory.mktemp(request.param)
    with servers.running(request.param, home, is_covered=False, **token) as server:
        yield server


class Visit:
    """A page that notes where its requests went and what its console complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requested: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)


@pytest.fixture
def visit(browser: Browser, server: servers.Server) -> Iterator[Visit]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(MILLISECONDS)
    visit = Visit(page)
    page.goto(f"{server.url}/rest_api/")
    expect(page.locator(".opblock-tag").first).to_be_visible()
    yield visit
    context.close()


def test_the_page_loads_everything_from_the_service_itself(visit: Visit, server: servers.Server):
    assert visit.page.url.startswith(f"{server.url}/rest_api/v1/ui/")
    outside = [url for url in visit.requested if not url.startswith((server.url, "data:", "blob:"))]
    assert outside == []
    assert visit.complaints == []


def test_authorize_and_try_it_out_show_the_dags(visit: Visit, server: servers.Server):
    page = visit.page
    authorize(page, "bearer", login(server.url))

    page.locator("#operations-tag-DAG").click()
    operation = page.locator("#operations-DAG-get_dags")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    answer = operation.locator(".live-responses-table tbody .response-col_status").first
    expect(answer).to_contain_text("200")
    expect(operation.locator(".live-responses-table").first).to_contain_text('"dag_id": "etl"')
    assert visit.complaints == []


def authorize(page: Page, scheme: str, value: str) -> None:
    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".dialog-ux")
    form = dialog.locator(".auth-container", has_text=scheme).first
    form.locator("input").fill(value)
    form.locator("button.authorize").click()
    dialog.locator("button.btn-done").first.click()


def call(page: Page, tag: str, operation: str, media: str | None = None, **fields: str) -> dict[str, Any]:
    """Fill in the form of an operation, and return the answer that the page shows."""
    block = page.locator(f"#operations-{tag}-{operation}")
    if not block.is_visible():
        page.locator(f"#operations-tag-{tag}").click()
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    for name, value in fields.items():
        block.locator(f'tr[data-param-name="{name}"] input').first.fill(value)
    if media:
        block.get_by_label("Request content type").select_option(media)
    block.get_by_role("button", name="Execute").click()
    shown = block.locator(".live-responses-table .highlight-code code").first
    expect(shown).to_contain_text("}")
    return json.loads(shown.inner_text())


@pytest.mark.parametrize(
    ("tag", "operation", "sent"),
    [
        ("DAG", "get_dags", None),
        ("DagRun", "trigger_dag_run", {"logical_date"}),
        ("DagRun", "clear_dag_run", set()),
        ("Pool", "put_pool", {"slots"}),
        ("Component", "stop_component", set()),
    ],
)
def test_no_optional_field_is_sent_that_the_user_left_alone(
    visit: Visit, tag: str, operation: str, sent: Any
):
    page = visit.page
    page.locator(f"#operations-tag-{tag}").click()
    block = page.locator(f"#operations-{tag}-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    page.route("**/v1/**", lambda route: route.fulfill(json={}))
    with page.expect_request("**/v1/**") as expected:
        block.get_by_role("button", name="Execute").click()
    request = expected.value
    assert "?" not in request.url
    assert not {"idempotency-key", "if-match", "if-none-match"} & request.headers.keys()
    assert sent == (None if request.post_data is None else json.loads(request.post_data).keys())


def test_no_field_of_a_form_is_sent_that_the_user_left_alone(visit: Visit):
    page = visit.page
    page.locator("#operations-tag-Deployment").click()
    block = page.locator("#operations-Deployment-deploy_dag")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    # The page sends a `FormData` object, which shows its fields only to the page itself.
    page.evaluate("window.fetch = async (_, init) => { window.sent = init; return new Response('{}') }")
    block.get_by_role("button", name="Execute").click()
    page.wait_for_function("window.sent !== undefined")
    assert page.evaluate("[...(window.sent.body || new FormData()).keys()]") == []
    headers = page.evaluate("Object.keys(window.sent.headers || {}).map((name) => name.toLowerCase())")
    assert not {"idempotency-key", "if-match"} & set(headers)


def test_an_old_call_is_tried_with_the_old_header_token(visit: Visit):
    visit.page.locator("#select").select_option(label=OLD_CALLS)
    expect(visit.page.locator("#operations-tag-LegacyDag")).to_be_visible()
    authorize(visit.page, "httpToken", HEADER_TOKEN)
    answer = call(visit.page, "LegacyDag", "version")
    assert (answer["status"], answer["http_response_code"]) == ("OK", 200)
    assert visit.complaints == []


def test_the_old_address_of_the_page_shows_the_old_calls_first(visit: Visit, server: servers.Server):
    page = visit.page
    page.goto(f"{server.url}/admin/rest_api/")
    expect(page.locator("#operations-tag-LegacyDag")).to_be_visible()
    authorize(page, "bearer", login(server.url))
    assert call(page, "LegacyDag", "pause", dag_id="etl")["output"]["stdout"] == "Dag: etl, paused: True\n"
    # With a form, of which nothing is sent that nobody filled in.
    answer = call(page, "LegacyDag", "post_unpause", dag_id="etl")
    assert answer["output"]["stdout"] == "Dag: etl, paused: False\n"
    assert answer["post_arguments"] == {}
    # The presence of a flag is what counts: an empty one would turn it on.
    answer = call(page, "LegacyRunning", "post_clear", dag_id="etl")
    assert answer["airflow_cmd"] == "airflow clear --no_confirm etl"
    answer = call(page, "LegacyTask", "post_list_tasks", media="multipart/form-data", dag_id="etl")
    assert (answer["airflow_cmd"], answer["post_arguments"]) == ("airflow list_tasks etl", {})
    assert visit.complaints == []


def test_every_old_call_is_on_the_page(visit: Visit):
    page = visit.page
    page.locator("#select").select_option(label=OLD_CALLS)
    expect(page.locator("#operations-tag-LegacyDag")).to_be_visible()
    for tag in page.locator(".opblock-tag").all():
        tag.click()
    offered = contract.operations(contract.load("legacy.yaml"))
    expect(page.locator(".opblock")).to_have_count(len(offered))
    for operation in offered:
        assert page.locator(f"#operations-{operation.tag}-{operation.operation_id}").is_visible()
