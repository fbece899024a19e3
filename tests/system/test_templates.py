"""Templates: versions, rendering, defaults."""

import uuid

from kiln_testing.agents import spec, waiting_spec
from kiln_testing.client import pointers, slug


def make(kiln, text, **fields):
    return kiln.api.post("/templates", {"name": kiln.name("t"), "text": text, **fields}, expect=201).json()


def prompt_of(kiln, template, prompt, **variables):
    """What the agent would be told."""
    body = waiting_spec(prompt=prompt, template=template, variables=variables)
    return kiln.build(kiln.post(kiln.project(), body))["spec"]


def test_a_template_gets_versions_and_the_newest_is_read(kiln):
    first = make(kiln, "one")
    second = kiln.api.post("/templates", {"name": first["name"], "text": "two", "description": "d"}, expect=201).json()
    assert (first["version"], second["version"]) == (1, 2)
    assert kiln.api.get(f"/templates/{first['name']}", expect=200).json() == second
    assert kiln.api.get(f"/templates/{first['name']}", params={"version": 1}, expect=200).json() == first
    kiln.api.get(f"/templates/{first['name']}", params={"version": 3}, expect=404)
    kiln.api.get("/templates/nobody-made-this", expect=404)


def test_a_version_that_others_always_take_is_503_and_comes_later(kiln):
    template, index = make(kiln, "one"), f"test_{uuid.uuid4().hex}"
    body = {"name": template["name"], "text": "two"}
    kiln.system.sql(f"create unique index {index} on templates (name) where name = '{template['name']}'")  # as if each number were taken
    try:
        assert slug(kiln.api.post("/templates", body, expect=503)) == "overloaded"
    finally:
        kiln.system.sql(f"drop index {index}")
    assert kiln.api.post("/templates", body, expect=201).json()["version"] == 2


def test_a_new_version_is_where_its_location_says_also_when_there_is_a_newer_one(kiln):
    answer = kiln.api.post("/templates", {"name": kiln.name("t"), "text": "one"}, expect=201)
    kiln.api.post("/templates", {"name": answer.json()["name"], "text": "two"}, expect=201)
    assert kiln.api.get(answer.headers["location"], expect=200).json() == answer.json()


def test_the_list_has_the_newest_version_of_each(kiln):
    made = [make(kiln, "x") for _ in range(3)]
    kiln.api.post("/templates", {"name": made[0]["name"], "text": "y"}, expect=201)
    found = {item["name"]: item["version"] for item in kiln.api.pages("/templates", limit=2)}
    assert [found[template["name"]] for template in made] == [2, 1, 1]


def test_variables_and_the_prompt_are_put_in_their_places(kiln):
    template = make(kiln, "You write {{language}} for {{who}}.\n{{prompt}}\nEnd.", defaults={"who": "bots"})
    resolved = prompt_of(kiln, template["name"], "Say {{language}}.", language="C")
    assert resolved["prompt"] == "You write C for bots.\nSay {{language}}.\nEnd."
    assert resolved["template"] == f"{template['name']}@1"


def test_a_prompt_that_is_not_named_follows_after_a_blank_line(kiln):
    assert prompt_of(kiln, make(kiln, "Be brief.")["name"], "Say hello.")["prompt"] == "Be brief.\n\nSay hello."


def test_a_value_is_not_rendered_again(kiln):
    template = make(kiln, "{{a}}{{b}}|{{prompt}}")
    assert prompt_of(kiln, template["name"], "p", a="{{b}}", b="{{a}}")["prompt"] == "{{b}}{{a}}|p"


def test_a_named_version_stays_what_it_was(kiln):
    template = make(kiln, "one")
    kiln.api.post("/templates", {"name": template["name"], "text": "two"}, expect=201)
    assert prompt_of(kiln, f"{template['name']}@1", "p")["prompt"] == "one\n\np"
    assert prompt_of(kiln, template["name"], "p")["template"] == f"{template['name']}@2"


def test_missing_and_unknown_variables_are_all_named_at_once(kiln):
    template = make(kiln, "{{a}} {{b}} {{c}}", defaults={"c": "x"})
    body = spec("none", template=template["name"], variables={"c": "y", "d": "1", "e": "2"})
    path, wanted = f"/projects/{kiln.project()['id']}/builds", {"/variables/a", "/variables/b", "/variables/d", "/variables/e"}
    assert set(pointers(kiln.api.post(path, body, expect=422))) == wanted
    body |= {"auto_commit": False, "auto_push": True, "colour": "red"}
    assert set(pointers(kiln.api.post(path, body, expect=422))) == wanted | {"/auto_push", "/colour"}


def test_of_more_variables_than_are_told_of_none_is_looked_for_in_the_text(kiln):
    """Eighty thousand names in a text of fifty thousand places would keep a gateway busy for minutes."""
    template = make(kiln, "{{a}}" * 50000)
    body = spec("none", template=template["name"], variables={f"v{n}": 1 for n in range(80000)})
    found = pointers(kiln.api.post(f"/projects/{kiln.project()['id']}/builds", body, expect=422))
    assert found and all(pointer.startswith("/variables/") for pointer in found)


def test_an_unknown_template_is_422(kiln):
    project = kiln.project()
    for name in ("nobody-made-this", f"{make(kiln, 'x')['name']}@9"):
        answer = kiln.api.post(f"/projects/{project['id']}/builds", spec("none", template=name), expect=422)
        assert set(pointers(answer)) == {"/template"}


def test_without_a_template_braces_are_literal_and_variables_unknown(kiln):
    project = kiln.project()
    task = kiln.post(project, waiting_spec(prompt="a {{b}} c"))
    assert kiln.build(task)["spec"]["prompt"] == "a {{b}} c"
    answer = kiln.api.post(f"/projects/{project['id']}/builds", spec("none", variables={"b": "x"}), expect=422)
    assert set(pointers(answer)) == {"/variables/b"}
