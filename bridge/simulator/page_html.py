"""The page's HTML and style. Values are put in by Flask's templates, which escape them."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --dim: #55606e; --line: #d5dbe3; --paper: #fff; --tint: #f3f6f9;
  --link: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --dim: #a5b0bf; --line: #343d4a; --paper: #14181f; --tint: #1c222b; --link: #82b8f5; }
}
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, caption { color: var(--dim); } caption { text-align: left; padding-bottom: .5rem; }
a { color: var(--link); } a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .75rem .45rem 0; border-bottom: 1px solid var(--line); }
th a, td a { white-space: nowrap; }
thead th { color: var(--dim); font-weight: 600; } tbody th { font-weight: 600; }
td.text, .entry div { white-space: pre-wrap; }
.entry { background: var(--tint); border-radius: .4rem; padding: .75rem 1rem; margin: 0 0 .75rem; }
.entry p { margin: 0 0 .25rem; } ol { list-style: none; padding: 0; margin: 0; }
code { font-family: ui-monospace, monospace; font-size: .9em; color: var(--dim); }
"""

_HEAD = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} · ServiceNow simulator</title><style>{{ style|safe }}</style></head>
<body>
"""

LIST = (
    "{% set title = 'Records' %}"
    + _HEAD
    + """<header><p>ServiceNow simulator</p><h1>Records</h1></header>
<main>
{% if rows %}
<div class="scroll"><table>
<caption>{{ total }} {{ 'record' if total == 1 else 'records' }}, newest first.
{% if total > rows|length %}The newest {{ rows|length }} are shown.{% endif %} Times are UTC.</caption>
<thead><tr><th scope="col">Number</th><th scope="col">Short description</th>
<th scope="col">State</th><th scope="col">Priority</th>
<th scope="col">Assignment group</th><th scope="col">Created</th><th scope="col">Updated</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><th scope="row"><a href="/records/{{ row.table }}/{{ row.sys_id }}">{{ row.number }}</a></th>
<td>{{ row.short_description }}</td>
<td>{{ row.state }}</td><td>{{ row.priority }}</td><td>{{ row.assignment_group }}</td>
<td>{{ row.sys_created_on }}</td><td>{{ row.sys_updated_on }}</td></tr>
{% endfor %}
</tbody></table></div>
{% else %}
<p>There are no incidents yet. Post an alert to the bridge,
or a record to <code>/api/now/table/incident</code>, and load this page again.</p>
{% endif %}
</main></body></html>
"""
)

RECORD = (
    "{% set title = row.name %}"
    + _HEAD
    + """<header><p><a href="/">All records</a> · {{ row.kind }}</p>
<h1>{{ row.name }}{% if row.short_description %} {{ row.short_description }}{% endif %}</h1></header>
<main>
<h2>Journal</h2>
{% if journal %}
<ol>
{% for entry in journal %}
<li class="entry"><p>{{ entry.at }} UTC · {{ entry.by }} · {{ entry.kind }}</p><div>{{ entry.text }}</div></li>
{% endfor %}
</ol>
{% else %}<p>No comment or work note has been written.</p>{% endif %}
{% if observables %}
<h2>Observables</h2>
<ul>{% for kind, value in observables %}<li><code>{{ value }}</code> ({{ kind }})</li>{% endfor %}</ul>
{% endif %}
{% if attachments %}
<h2>Attachments</h2>
<ul>{% for file in attachments %}<li>{{ file.file_name }} ({{ file.content_type }}, {{ file.size_bytes }} bytes)</li>
{% endfor %}</ul>
{% endif %}
<h2>Fields</h2>
<div class="scroll"><table>
<caption>Every field that is not empty; the stored value where it differs from what is shown.</caption>
<thead><tr><th scope="col">Column</th><th scope="col">Value</th></tr></thead>
<tbody>
{% for name, text, raw in fields %}
<tr><th scope="row">{{ name }}</th>
<td class="text">{{ text }}{% if raw != text %} <code>{{ raw }}</code>{% endif %}</td></tr>
{% endfor %}
</tbody></table></div>
</main></body></html>
"""
)
