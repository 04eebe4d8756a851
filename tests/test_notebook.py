"""What a notebook shows."""

from minissm.notebook import table


def test_a_table_has_a_column_for_each_key_and_takes_nothing_for_html():
    rows = [{"step": 20, "training_loss": 1.23456789}, {"step": 1500, "<b>": "&", "training_loss": float("nan")}]
    lines = table(rows, "stopped: 1 < 2").split("<tr>")
    assert lines[0] == "<table>"
    assert lines[1] == "<th>step</th><th>training loss</th><th>&lt;b&gt;</th></tr>"
    assert lines[2] == "<td>20</td><td>1.235</td><td></td></tr>"
    assert lines[3] == "<td>1500</td><td>nan</td><td>&amp;</td></tr></table><p>stopped: 1 &lt; 2</p>"
