# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The pure parts of the benchmarks: percentiles, ratios, the table, the plot, what is read from metrics and /proc."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.__main__ import parse
from benchmarks.figures import Row, difference, number, paired_ratio, percentile, ratio, writes_ratio
from benchmarks.observe import View, counted_writes, of_resource
from benchmarks.plot import svg
from benchmarks.processes import process_name
from benchmarks.report import line, markdown, render, table_line, write


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (99.5, 100), (100, 100), (1, 1), (0.1, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_few_values_have_percentiles_too() -> None:
    assert percentile([3.0], 50) == percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0], 99) == 2.0


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_what_cannot_be_a_percentile_is_refused(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percent"):
        percentile(values, percent)


def test_ratios() -> None:
    assert ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], 50) == 2.0
    assert ratio([3.0, 1.0], [2.0, 4.0], 99) == 0.75
    assert paired_ratio([2.0, 30.0, 3.0], [1.0, 10.0, 2.0]) == 2.0
    assert writes_ratio(21, clusters=3, states=7) == 1.0
    with pytest.raises(ValueError, match="argument"):
        paired_ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("value", "verdict"), [(1.2, "met"), (1.19, "met"), (1.21, "missed")])
def test_a_target_is_met_or_missed(value: float, verdict: str) -> None:
    row = Row("S", "writes", value, "", 5, 1.2)
    assert row.verdict == row.as_dict()["verdict"] == verdict
    assert verdict in table_line(row)
    assert verdict in line(row)
    assert Row("S", "writes", value).verdict == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.50"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346"), (0, "0"), (1.3, "1.30")]
)
def test_numbers_have_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_has_every_row_below_its_section() -> None:
    rows = [
        Row("One", "a", 1.5, "ms", 1000, 1.3, "why | how"),
        Row("One", "b", 2),
        Row("Two", "c", 3, "s"),
        Row("One", "d", 4),
    ]
    text = markdown(rows, {"processor": "2 x Some"}, "x.svg")
    assert "| a | 1.50 ms | 1,000 | <= 1.30 | **missed** | why \\| how |" in text
    assert (
        text.index("## One")
        < text.index("| b | 2 |")
        < text.index("| d | 4 |")
        < text.index("## Two")
        < text.index("| c | 3 s |")
    )
    assert "| processor | 2 x Some |" in text
    assert "![plot](x.svg)" in text


def test_results_are_written_as_three_files_and_drawn_anew(tmp_path: Path) -> None:
    rows, file = [Row("One", "a", 1.5, "ms", 3, 2.0)], tmp_path / "new" / "bench.json"
    write(file, rows, {"python": "3"}, {"fabric": [0.1, 0.25]})
    content = json.loads(file.read_text())
    assert content["rows"] == [rows[0].as_dict()]
    assert content["machine"] == {"python": "3"}
    assert content["raw"]["latency seconds"] == {"fabric": [0.1, 0.25]}
    drawn = [file.with_suffix(suffix).read_text() for suffix in (".md", ".svg")]
    assert "| a | 1.50 ms | 3 | <= 2 | met |" in drawn[0]
    assert "polyline" in drawn[1]
    file.with_suffix(".md").write_text("")
    assert render(file).read_text() == drawn[0]


def test_the_plot_is_xml_with_each_system_and_bar() -> None:
    rows = [
        Row("Status latency", "fabric / bare <mirror>, p50", 1.4, "", 3, 1.3),
        Row("Processes", "syncer east: memory at 10 objects", 80, "MiB", 10, 150),
        Row("Processes", "syncer east: memory at 5 objects", 70, "MiB", 5, 150),
    ]
    drawn = ET.tostring(ET.fromstring(svg({"fabric": [0.01, 0.02], "bare": [0.01, 0.01]}, rows))).decode()
    assert drawn.count("polyline") == 2
    assert "bare &lt;mirror&gt;" in drawn
    assert "at 10 objects" in drawn
    assert "at 5 objects" not in drawn, "memory is shown where there are most objects"
    ET.fromstring(svg({}, []))


def test_writes_are_read_from_the_metrics_of_an_api_server() -> None:
    text = """# HELP apiserver_request_total
apiserver_request_total{code="200",dry_run="",group="g",resource="parcels",subresource="",verb="GET"} 7
apiserver_request_total{code="201",dry_run="",group="g",resource="parcels",subresource="",verb="POST"} 3
apiserver_request_total{code="409",dry_run="",group="g",resource="parcels",subresource="",verb="POST"} 1
apiserver_request_total{code="200",dry_run="",group="g",resource="parcels",subresource="status",verb="PATCH"} 2e+01
"""
    counted = counted_writes(text)
    assert counted == {"POST parcels": 3, "POST parcels (409)": 1, "PATCH parcels/status": 20}
    by_cluster = {("east", what): count for what, count in counted.items()} | {("east", "PUT leases"): 5}
    assert sum(of_resource(by_cluster, "parcels").values()) == 24
    assert difference(by_cluster, by_cluster | {("east", "PUT leases"): 6, ("west", "POST parcels"): 1}) == {
        ("east", "PUT leases"): 1,
        ("west", "POST parcels"): 1,
    }


@pytest.mark.parametrize(
    ("command", "working", "name"),
    [
        ("/v/bin/python /v/bin/tmc syncer --member=east --hub=kcp", "/t/s", "syncer east"),
        ("/v/bin/python /v/bin/tmc controller --cluster=west", "/t/s", "controller west"),
        ("/b/kube-apiserver --etcd-servers=x", "/t/s/planes/kcp", "kube-apiserver kcp"),
        ("etcd --data-dir=etcd", "/t/s/west", "etcd west"),
        ("/v/bin/python -m supervisor.supervisord -n", "/t/s/supervisor", "supervisord"),
        ("/v/bin/python /v/bin/supervisord -c x", "/t/s/supervisor", "supervisord"),
    ],
)
def test_processes_have_the_name_of_their_cluster(command: str, working: str, name: str) -> None:
    assert process_name(command.split(), working, ("kcp", "east", "west")) == name


def test_a_view_counts_the_changes_of_status_and_forgets_what_is_gone() -> None:
    view = View({})
    obj = {"metadata": {"name": "a"}}
    view.apply("ADDED", obj)
    view.apply("MODIFIED", obj | {"status": {"step": 1}})
    view.apply("MODIFIED", obj | {"status": {"step": 1}, "spec": {}})
    view.apply("MODIFIED", obj | {"status": {"step": 2}})
    assert view.statuses == {"a": 2}
    view.apply("DELETED", obj)
    assert view.objects == {}


def test_a_list_replaces_what_a_view_knew() -> None:
    view = View({"a": {"metadata": {"name": "a"}}, "b": {"metadata": {"name": "b"}}})
    view.replace([{"metadata": {"name": "b"}, "status": {"step": 1}}, {"metadata": {"name": "c"}}])
    assert sorted(view.objects) == ["b", "c"]
    assert view.statuses == {"b": 1}


def test_quick_is_less_of_everything_and_options_win() -> None:
    full, quick = parse([]), parse(["--quick", "--rounds", "7"])
    assert (full.objects, full.rounds, full.members, full.name) == (10000, 1000, [2, 3, 5], "bench")
    assert (quick.objects, quick.rounds, quick.members, quick.name) == (1000, 7, [2, 3], "bench-quick")
    assert parse(["--only", "latency,writes", "--members", "2"]).only == ["latency", "writes"]


@pytest.mark.parametrize("bad", [["--only", "speed"], ["--members", "1"], ["--rounds", "0"], ["--objects", "many"]])
def test_options_that_make_no_sense_are_refused(bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(bad)
    assert bad[1] in capsys.readouterr().err


@pytest.mark.parametrize(("value", "arguments", "code"), [(2.0, [], 0), (2.0, ["--strict"], 1), (1.0, ["--strict"], 0)])
def test_a_missed_target_ends_a_strict_run_with_1(
    value: float, arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(_options: object, _machine: object, results: bench.Results) -> None:
        results.add([Row("latency", "ratio", value, target=1.3)])

    monkeypatch.setattr(bench, "run", measured)
    monkeypatch.setattr(bench.signal, "signal", lambda *_: None)
    assert bench.main([*arguments, f"--output={tmp_path}"]) == code
    assert (tmp_path / "bench.json").is_file()
