"""Markdown tables, aligned so that they also read well in a terminal."""


def markdown(header, rows):
    rows = [[str(it) for it in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *rows]) for i in range(len(header))]
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(header))]

    def line(cells):
        padded = [it.rjust(w) if n else it.ljust(w) for it, w, n in zip(cells, widths, numeric)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if n else "-") for w, n in zip(widths, numeric)) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def _is_number(text):
    return text.replace(",", "").replace(".", "", 1).lstrip("-").isdigit() or text == "-"
