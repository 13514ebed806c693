"""Templates, styles and scripts of the report's pages; package data, no code.

`index.html` is the first page, `clip.html` one clip's; both are filled in by `flows.report.pages` and `clip_page`.
All that is filled in is escaped; charts come as JSON in script elements, tables as `assets/clips.js`.
"""
