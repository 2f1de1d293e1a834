//! The colours by name. Pages take them from the stylesheet, files take the values here; a test
//! compares the two.

/// A colour of the stylesheet, by the name of its custom property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color(&'static str);

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark ink on a light surface.
    #[default]
    Light,
    /// Light ink on a dark surface.
    Dark,
}

/// Token, light, dark.
const VALUES: &[(&str, u32, u32)] = &[
    ("s1", 0x29_5f_bb, 0x6c_a6_e0),
    ("s2", 0x18_9b_7c, 0x5e_d0_b9),
    ("s3", 0x70_28_61, 0xa9_72_8e),
    ("s4", 0x99_81_c9, 0x7d_6e_ca),
    ("s5", 0x6c_62_24, 0xa1_b6_50),
    ("ink", 0x12_17_1c, 0xe7_eb_ee),
    ("ink-2", 0x43_4d_57, 0xb0_b9_c2),
    ("ink-3", 0x60_6b_76, 0x91_9b_a6),
    ("surface", 0xff_ff_ff, 0x12_17_1c),
    ("grid", 0xe9_ec_ef, 0x1f_26_2d),
    ("axis", 0xb7_c0_c9, 0x41_4c_57),
    ("hatch", 0xc9_d0_d7, 0x36_40_4a),
    ("warn", 0x85_56_00, 0xe6_b0_4a),
    ("crit", 0xb3_28_0d, 0xff_8a_68),
    ("sev-err", 0xb3_28_0d, 0xf2_68_3f),
    ("sev-warn", 0xcd_8a_00, 0xe3_ac_3f),
    ("sev-notice", 0x5d_8a_c9, 0x5f_8d_c4),
    ("sev-info", 0xb9_c2_cb, 0x46_52_5e),
];

impl Color {
    /// Text and the one series of an alerting chart.
    pub const INK: Self = Self("ink");
    /// Secondary text.
    pub const INK_2: Self = Self("ink-2");
    /// Axis words, and "others".
    pub const INK_3: Self = Self("ink-3");
    /// What charts stand on.
    pub const SURFACE: Self = Self("surface");
    /// Lines behind the curves.
    pub const GRID: Self = Self("grid");
    /// The base line.
    pub const AXIS: Self = Self("axis");
    /// Over missing time.
    pub const HATCH: Self = Self("hatch");
    /// Warning.
    pub const WARN: Self = Self("warn");
    /// Critical.
    pub const CRIT: Self = Self("crit");
    /// Log lines: errors and worse, warnings, notices, the rest.
    pub const SEVERITY: [Self; 4] = [
        Self("sev-err"),
        Self("sev-warn"),
        Self("sev-notice"),
        Self("sev-info"),
    ];

    /// The colour of the nth series: five, then "others".
    #[must_use]
    pub fn series(n: usize) -> Self {
        const SERIES: [Color; 5] = [
            Color("s1"),
            Color("s2"),
            Color("s3"),
            Color("s4"),
            Color("s5"),
        ];
        SERIES.get(n).copied().unwrap_or(Self::INK_3)
    }

    /// The name of the custom property, without the dashes in front.
    #[must_use]
    pub fn token(self) -> &'static str {
        self.0
    }

    /// Red, green, blue.
    #[must_use]
    pub fn rgb(self, theme: Theme) -> (u8, u8, u8) {
        let value =
            VALUES
                .iter()
                .find(|(token, ..)| *token == self.0)
                .map_or(
                    0,
                    |(_, light, dark)| if theme == Theme::Light { *light } else { *dark },
                );
        let [_, r, g, b] = value.to_be_bytes();
        (r, g, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_pages_share_their_colours() {
        let css = include_str!("../../web/vigie.css");
        for (token, light, dark) in VALUES {
            let pair = format!("light-dark(#{light:06x}, #{dark:06x})");
            let line = css
                .lines()
                .find(|l| l.trim_start().starts_with(&format!("--{token}:")))
                .unwrap_or_else(|| panic!("the stylesheet has no --{token}"));
            assert!(line.contains(&pair), "{line}: not {pair}");
        }
    }
}
