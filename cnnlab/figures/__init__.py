"""What the lab draws: colours, arrays as pictures, charts.

Plotly is imported by `charts` alone, so that a page without a chart does not pay for it.
"""
