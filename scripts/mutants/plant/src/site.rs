//! Places where mistakes are made, and the text with them.

/// First and last byte (exclusive) in a file.
pub type Range = [usize; 2];

#[derive(Clone, Debug)]
pub struct Mistake {
    pub id: u32,
    /// Operator, value or condition; empty for what is left out.
    pub replacement: String,
}

/// An expression, or a point in the text, with the mistakes that are made there.
#[derive(Clone, Debug)]
pub struct Site {
    pub range: Range,
    pub kind: Kind,
    pub mistakes: Vec<Mistake>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// Left operand, operator, right operand of an operator that takes values.
    Arithmetic([Range; 3]),
    /// The same of one that takes references.
    Comparison([Range; 3]),
    /// Operands of `&&` (true) or `||` (false), which become each other.
    Logic([Range; 2], bool),
    /// Place, operator and value.
    Assignment([Range; 3]),
    /// Operator and operand; the operator is left out.
    Unary([Range; 2]),
    /// The beginning of a function's body, which returns early.
    Body,
    /// The guard of an arm of a match, if it has one, or the point where one would be. The first mistake leaves the arm
    /// out, others replace the guard.
    Arm(Option<Range>),
    /// A guard alone.
    Guard,
    /// Value of a field that may be left out: its name, whether it is written, and the struct that the others come from.
    Field {
        name: String,
        written: bool,
        base: String,
    },
}

impl Site {
    /// Number of the place: that of its first mistake.
    pub fn place(&self) -> u32 {
        self.mistakes[0].id
    }
}

/// The text of a file with all mistakes in it; `switch` says which one is made. Every alternative stands on a line of its
/// own that begins with its number, for those who look for the cause of an error.
pub fn planted(text: &str, sites: &[Site], switch: &str) -> String {
    Planter {
        text,
        sites,
        switch,
    }
    .text([0, text.len()], 0)
}

struct Planter<'a> {
    text: &'a str,
    /// Outer ones before those inside them.
    sites: &'a [Site],
    switch: &'a str,
}

impl Planter<'_> {
    /// The text of a range, with the sites in it from number `next` on.
    fn text(&self, [mut at, end]: Range, mut next: usize) -> String {
        let mut planted = String::new();
        while next < self.sites.len() && self.sites[next].range[0] < end {
            let [start, stop] = self.sites[next].range;
            if at <= start && stop <= end {
                planted += &self.text[at..start];
                planted += &self.site(next);
                at = stop;
            }
            next += 1;
        }
        planted + &self.text[at..end]
    }

    fn site(&self, number: usize) -> String {
        let site = &self.sites[number];
        let place = site.place();
        let at = format!("{}({place})", self.switch);
        let inner = |range: Range| self.text(range, number + 1);
        let plain = |[start, end]: Range| &self.text[start..end];
        // Choice between the alternatives and what was there.
        let choice = |mistakes: &[Mistake], of: &dyn Fn(&str) -> String, otherwise: String| {
            let alternative =
                |m: &Mistake| format!("\n/*M{0}*/{0} => {{ {1} }}", m.id, of(&m.replacement));
            let alternatives: String = mistakes.iter().map(alternative).collect();
            format!("match {at} {{{alternatives}\n_ => {otherwise} }}")
        };
        let all = |of: &dyn Fn(&str) -> String, otherwise| choice(&site.mistakes, of, otherwise);
        match &site.kind {
            Kind::Arithmetic([left, operator, right]) => {
                let chosen = all(&|o| format!("l {o} r"), format!("l {} r", plain(*operator)));
                format!(
                    "(/*S{place}*/match ({}, {}) {{ (l, r) => {chosen} }})",
                    inner(*left),
                    inner(*right)
                )
            }
            Kind::Comparison([left, operator, right]) => {
                let chosen = all(
                    &|o| format!("*l {o} *r"),
                    format!("*l {} *r", plain(*operator)),
                );
                format!(
                    "(/*S{place}*/match (&({}), &({})) {{ (l, r) => {chosen} }})",
                    inner(*left),
                    inner(*right)
                )
            }
            Kind::Logic([left, right], and) => {
                let other = all(&|_| "true".into(), "false".into());
                let (left, right) = (inner(*left), inner(*right));
                let (first, second) = if *and {
                    (right, "l".to_owned())
                } else {
                    ("l".to_owned(), right)
                };
                format!(
                    "(/*S{place}*/{{ let l: bool = {left}; let other = {other}; if l != other {{ {first} }} else {{ {second} }} }})"
                )
            }
            Kind::Assignment([to, operator, value]) => {
                let to = inner(*to);
                let kept = format!("{{ {to} {} r; }}", plain(*operator));
                format!(
                    "match {} {{ r => {} }}",
                    inner(*value),
                    all(&|o| format!("{to} {o} r;"), kept)
                )
            }
            Kind::Unary([operator, operand]) => {
                let kept = format!("{}e", plain(*operator));
                format!(
                    "(match {} {{ e => {} }})",
                    inner(*operand),
                    all(&|_| "e".into(), kept)
                )
            }
            Kind::Body => {
                let early = |m: &Mistake| {
                    format!(
                        "\n/*M{0}*/if {at} == {0} {{ return {1}; }}\n",
                        m.id, m.replacement
                    )
                };
                site.mistakes.iter().map(early).collect()
            }
            Kind::Arm(None) => format!(" if /*A{place}*/ {at} != {place} "),
            Kind::Arm(Some(guard)) => {
                let guard = choice(&site.mistakes[1..], &str::to_owned, inner(*guard));
                format!(" /*A{place}*/ {at} != {place} && ({guard})")
            }
            Kind::Guard => format!("({})", all(&str::to_owned, inner(site.range))),
            Kind::Field {
                name,
                written,
                base,
            } => {
                let prefix = if *written {
                    String::new()
                } else {
                    format!("{name}: ")
                };
                format!(
                    "{prefix}({})",
                    all(&|_| format!("({base}).{name}"), inner(site.range))
                )
            }
        }
    }
}
