//! The chart as a file: SVG and PNG at a fixed width, laid out once for both.

mod curves;
mod legend;
mod picture;
#[cfg(test)]
mod tests;

use super::palette::Theme;
use super::raster::Raster;
use super::spec::ChartSpec;
use super::svg::Svg;
use legend::Legend;
use picture::{AXIS, MARGIN, Picture, TITLE};

/// A picture's size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down, title and legend included; a legend of many rows makes the picture taller.
    pub height: u32,
}

impl Size {
    /// The smallest picture that still has room for a curve.
    pub const MIN: Self = Self {
        width: 200,
        height: 120,
    };
    /// The largest: 16 million pixels are 48 MB of memory.
    pub const MAX: Self = Self {
        width: 4096,
        height: 4096,
    };

    /// Pixels across that curves have, about.
    #[must_use]
    pub fn plot_width(self) -> u32 {
        self.width.saturating_sub(MARGIN * 2 + 60).max(50)
    }
}

impl Default for Size {
    fn default() -> Self {
        Self {
            width: 800,
            height: 320,
        }
    }
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The size is out of bounds.
    #[error("a picture is {} × {} to {} × {} pixels", Size::MIN.width, Size::MIN.height, Size::MAX.width, Size::MAX.height)]
    Size,
    /// The pixels cannot be packed.
    #[error("drawing: {0}")]
    Draw(String),
}

/// The chart as SVG text.
///
/// # Errors
/// When the size is out of bounds.
pub fn graph_svg(spec: &ChartSpec, size: Size, theme: Theme) -> Result<String, GraphError> {
    let (size, legend) = layout(spec, size)?;
    let mut svg = Svg::new(size.width, size.height, &spec.title, &spec.words());
    Picture::new(spec, (size, legend), theme, &mut svg).draw();
    Ok(svg.finish())
}

/// The chart as the bytes of a PNG file.
///
/// # Errors
/// When the size is out of bounds.
pub fn graph_png(spec: &ChartSpec, size: Size, theme: Theme) -> Result<Vec<u8>, GraphError> {
    let (size, legend) = layout(spec, size)?;
    let mut raster = Raster::new(size.width, size.height);
    Picture::new(spec, (size, legend), theme, &mut raster).draw();
    raster.png().map_err(|e| GraphError::Draw(e.to_string()))
}

/// The legend, and how large the picture is with it: curves keep half of the height that was asked for,
/// and what the legend needs beyond the other half the picture grows by, as with rrdtool.
fn layout(spec: &ChartSpec, size: Size) -> Result<(Size, Legend), GraphError> {
    let fits = (Size::MIN.width..=Size::MAX.width).contains(&size.width)
        && (Size::MIN.height..=Size::MAX.height).contains(&size.height);
    if !fits {
        return Err(GraphError::Size);
    }
    let legend = Legend::new(spec);
    let room = size.height as f32 - TITLE - AXIS;
    let missing = (legend.height() - room / 2.0).max(0.0).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the height of all rows"
    )]
    let height = size.height.saturating_add(missing as u32);
    let height = height.min(Size::MAX.height);
    Ok((Size { height, ..size }, legend))
}
