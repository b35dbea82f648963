"""Write the line of links at the end of every notebook.

python -m tests.notebooks.navigation
"""

import nbformat

from tests.notebooks.execute import NOTEBOOKS, file_text, notebook_paths, read, tags

CONTENTS = "00_start_here.ipynb"


def title(path):
    """The text of a notebook's first heading."""
    return read(path).cells[0].source.split("\n")[0].removeprefix("# ").strip()


def links(name, folder=NOTEBOOKS):
    """The markdown that leads from the notebook `name` to the one before, the contents and the one after."""
    paths = notebook_paths(folder)
    place = [path.name for path in paths].index(name)
    parts = [f"[← {title(path)}]({path.name})" for path in paths[:place][-1:]]
    parts += [f"[Contents]({CONTENTS})"]
    parts += [f"[{title(path)} →]({path.name})" for path in paths[place + 1 :][:1]]
    return " · ".join(parts)


def write(path):
    """Makes the last cell of a notebook its navigation; the file is touched only if that changes it."""
    nb = read(path)
    before = file_text(nb)
    if "navigation" not in tags(nb.cells[-1]):
        nb.cells.append(nbformat.v4.new_markdown_cell(metadata={"tags": ["navigation"]}))
    nb.cells[-1].source = links(path.name, path.parent)
    if file_text(nb) != before:
        path.write_text(file_text(nb), encoding="utf-8", newline="\n")
        print(f"rewritten: {path.name}")


def main():
    """Writes the navigation of every notebook."""
    for path in notebook_paths():
        write(path)


if __name__ == "__main__":
    main()
