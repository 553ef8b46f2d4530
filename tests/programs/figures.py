"""Reads figures as Prometheus' own library does: `text` or `openmetrics` from
standard input. Prints a JSON line for each sample: name, labels, value and the
type of its family."""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

READERS = {
    "text": parser.text_string_to_metric_families,
    "openmetrics": openmetrics.text_string_to_metric_families,
}

families = set()
for family in READERS[sys.argv[1]](sys.stdin.read()):
    if family.name in families:
        sys.exit(f"{family.name} comes twice")
    if not family.documentation:
        sys.exit(f"{family.name} says nothing of itself")
    families.add(family.name)
    for sample in family.samples:
        print(json.dumps([sample.name, sample.labels, sample.value, family.type]))
