"""Compares canonical forms with libxml2's: JSON lines of examples/c14n_corpus.rs on standard input, one summary on standard output.

Every difference is printed; the exit status is 1 if there is one.
"""

import json
import sys

from lxml import etree

SHOWN = 10


def canonical(case):
    # Elements only, in document order, as the generator numbers them.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, strip_cdata=False)
    root = etree.fromstring(case["xml"].encode(), parser)
    elements = list(root.iter(etree.Element))
    element = elements[case["element"]]
    if case["without"] is not None:
        leave_out(elements[case["without"]])
    return etree.tostring(
        element,
        method="c14n",
        exclusive=True,
        with_comments=False,
        with_tail=False,
        inclusive_ns_prefixes=case["prefixes"] or None,
    ).decode()


def leave_out(element):
    """Removes an element, not the text after it."""
    parent, tail = element.getparent(), element.tail or ""
    before = element.getprevious()
    if before is None:
        parent.text = (parent.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail
    element.tail = None
    parent.remove(element)


def main():
    # lxml passes on those prefixes alone that its dictionary of names has; a namespace enters it too.
    etree.fromstring('<a xmlns="#default"/>')
    seen = different = holes = listed = inner = size = 0
    for line in sys.stdin:
        case = json.loads(line)
        seen += 1
        holes += case["without"] is not None
        listed += bool(case["prefixes"])
        inner += case["element"] > 0
        size += len(case["xml"].encode())
        theirs = canonical(case)
        if theirs != case["canonical"]:
            different += 1
            if different <= SHOWN:
                print(json.dumps({**case, "theirs": theirs}, ensure_ascii=False), file=sys.stderr)
    version = ".".join(map(str, etree.LIBXML_VERSION))
    print(json.dumps({
        "libxml2": version, "documents": seen, "different": different, "bytes": size,
        "inner_elements": inner, "with_prefix_list": listed, "with_subtree_left_out": holes,
    }))
    return 1 if different else 0


sys.exit(main())
