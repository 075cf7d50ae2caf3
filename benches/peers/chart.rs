//! The chart of docs/benchmarks.md: for each row, what it costs us as a part of what it
//! costs the peer.

/// A row of the chart.
pub struct Bars {
    /// What a user does.
    pub what: String,
    /// What it costs us, in words.
    pub ours: String,
    /// The peer, and what it costs that.
    pub peer: String,
    /// Our cost, as a part of the peer's.
    pub share: f64,
}

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 16.0;
const ROW: f64 = 76.0;
const BAR: f64 = 14.0;

/// An SVG image, which follows the reader's choice of a dark or a light page.
pub fn chart(rows: &[&Bars]) -> String {
    let height = MARGIN * 2.0 + ROW * rows.len() as f64;
    let full = WIDTH - 2.0 * MARGIN;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>What nix-oci-hashes costs, beside its peers; shorter is better</title>
<style>
  .ground {{ fill: #fff }} .what {{ fill: #1d2430; font-weight: 600 }} .text {{ fill: #59636f }} .ours {{ fill: #1f55a5 }} .peer {{ fill: #c3cad4 }}
  @media (prefers-color-scheme: dark) {{
    .ground {{ fill: #14181f }} .what {{ fill: #e4e8ee }} .text {{ fill: #a3adba }} .ours {{ fill: #8ab8ff }} .peer {{ fill: #4a5462 }}
  }}
</style>
<rect class="ground" width="100%" height="100%"/>
"#
    );
    for (number, row) in rows.iter().enumerate() {
        let top = MARGIN + ROW * number as f64;
        // The longer of both bars takes half of the width: the texts stand behind them.
        let unit = full / 2.0 / row.share.max(1.0);
        let (ours, peer) = ((unit * row.share).max(2.0), unit);
        let what = escaped(&row.what);
        svg.push_str(&format!(
            "<text class=\"what\" x=\"{MARGIN}\" y=\"{:.0}\">{what}</text>\n",
            top + BAR
        ));
        let bars = [
            ("ours", ours, format!("nix-oci-hashes: {}", row.ours)),
            ("peer", peer, row.peer.clone()),
        ];
        for (at, (class, width, text)) in bars.into_iter().enumerate() {
            let y = top + 22.0 + (BAR + 4.0) * at as f64;
            svg.push_str(&format!(
                "<rect class=\"{class}\" x=\"{MARGIN}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                 <text class=\"text\" x=\"{:.1}\" y=\"{:.0}\">{}</text>\n",
                MARGIN + width + 8.0,
                y + BAR - 3.0,
                escaped(&text),
            ));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
