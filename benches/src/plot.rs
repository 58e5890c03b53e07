//! Lines over a load, as SVG: what `docs/` shows of a measurement. Knows no benchmark.

use std::fmt;
use std::path::Path;

use plotters::element::{DynElement, IntoDynElement};
use plotters::prelude::*;

/// One plot.
#[derive(Debug, Clone, Copy)]
pub struct Plot<'p> {
    /// What stands above it.
    pub title: &'p str,
    /// The axis of loads, with its unit.
    pub x: &'p str,
    /// The axis of values, with its unit; both axes are logarithmic.
    pub y: &'p str,
    /// Values below are drawn here.
    pub least: f64,
}

/// A line: its name and its points, in the order of loads.
pub type Line = (String, Vec<(f64, f64)>);

/// Why a plot could not be drawn.
#[derive(Debug)]
pub struct PlotError(String);

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a plot cannot be drawn: {}", self.0)
    }
}

impl std::error::Error for PlotError {}

/// The first are told apart by colour and by the shape of their points, so that they are on paper, too.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 90, 181), RGBColor(220, 50, 32), RGBColor(27, 130, 60), RGBColor(120, 60, 160)];
const SIZE: (u32, u32) = (820, 500);

impl Plot<'_> {
    /// Draws the lines into a file.
    ///
    /// # Errors
    /// When the file cannot be written, or there are no points.
    pub fn draw(&self, path: &Path, lines: &[Line]) -> Result<(), PlotError> {
        let mut svg = String::new();
        self.draw_into(&mut svg, lines).map_err(|error| PlotError(error.to_string()))?;
        std::fs::write(path, svg).map_err(|error| PlotError(format!("{}: {error}", path.display())))
    }

    fn draw_into(&self, svg: &mut String, lines: &[Line]) -> Result<(), Box<dyn std::error::Error>> {
        let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
        let (mut low, mut high, mut most) = (f64::MAX, 0f64, self.least);
        for (load, value) in points() {
            (low, high, most) = (low.min(load), high.max(load), most.max(value));
        }
        if low > high {
            return Err("there are no points".into());
        }
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(
                (low * 0.9..high * 1.1).log_scale(),
                (self.least * 0.9..most * 1.5).log_scale(),
            )?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|load| short(*load))
            .y_label_formatter(&|value| short(*value))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .light_line_style(WHITE)
            .draw()?;
        for (place, (name, points)) in lines.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let drawn = points.iter().map(|(load, value)| (*load, value.max(self.least)));
            chart
                .draw_series(LineSeries::new(drawn.clone(), colour.stroke_width(2)))?
                .label(name)
                .legend(move |at| mark(place, at, colour));
            chart.draw_series(drawn.map(|point| mark(place, point, colour)))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.4))
            .label_font(("sans-serif", 13))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

/// A point of a line.
fn mark<'a, C: Clone + 'static>(
    place: usize,
    at: C,
    colour: RGBColor,
) -> DynElement<'static, SVGBackend<'a>, C> {
    match place % COLOURS.len() {
        0 => Circle::new(at, 4, colour.filled()).into_dyn(),
        1 => TriangleMarker::new(at, 5, colour.filled()).into_dyn(),
        2 => Cross::new(at, 4, colour.stroke_width(2)).into_dyn(),
        _ => Circle::new(at, 4, colour.stroke_width(2)).into_dyn(),
    }
}

/// A number as people write it.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLOT: Plot<'_> = Plot { title: "Signals", x: "load, %", y: "bells", least: 1e-4 };

    #[test]
    fn a_plot_has_its_title_axes_and_a_line_and_a_name_for_each() {
        let lines: Vec<Line> = ["always", "announce"]
            .iter()
            .map(|name| (name.to_string(), vec![(1.0, 1.0), (100.0, 0.0)]))
            .collect();
        let mut svg = String::new();
        PLOT.draw_into(&mut svg, &lines).expect("it is drawn");
        for text in ["Signals", "load, %", "bells", "always", "announce"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(svg.matches("<polyline").count() >= 2, "a line each");
    }

    #[test]
    fn nothing_is_no_plot() {
        assert!(PLOT.draw_into(&mut String::new(), &[]).is_err());
    }
}
