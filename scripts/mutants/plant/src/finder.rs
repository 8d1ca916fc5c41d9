//! The places of mistakes in a file.

use crate::site::{Kind, Mistake, Range, Site};
use proc_macro2::{LineColumn, Span};
use std::collections::HashMap;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Arm, Attribute, BinOp, Block, Expr, ExprBinary, ExprConst, ExprRepeat, ExprStruct, ExprUnary,
    File, GenericArgument, ImplItemConst, ImplItemFn, ItemConst, ItemFn, ItemImpl, ItemMod,
    ItemStatic, Member, Meta, Pat, Signature, TraitItemConst, TraitItemFn, TypeArray,
};

/// Looks for mistakes by genre and position. Not in constants, which are computed before anything could choose, and not
/// in what is compiled for GPUs alone.
pub struct Finder<'a> {
    text: &'a str,
    /// First byte of each line.
    lines: Vec<usize>,
    wanted: HashMap<(String, [usize; 2]), Vec<Mistake>>,
    sites: Vec<Site>,
}

impl<'a> Finder<'a> {
    pub fn new(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(ends).collect(),
            wanted: HashMap::new(),
            sites: vec![],
        }
    }

    /// Adds a mistake at a line and column, counted from 1.
    pub fn look_for(&mut self, genre: &str, at: [usize; 2], mistake: Mistake) {
        self.wanted
            .entry((genre.to_owned(), at))
            .or_default()
            .push(mistake);
    }

    /// Sites in the order of the text, outer ones before those inside them.
    pub fn find(mut self, file: &File) -> Vec<Site> {
        self.visit_file(file);
        self.sites
            .sort_by_key(|site| (site.range[0], std::cmp::Reverse(site.range[1])));
        self.sites
    }

    fn offset(&self, at: LineColumn) -> usize {
        let line = &self.text[self.lines[at.line - 1]..];
        let column = line
            .char_indices()
            .nth(at.column)
            .map_or(line.len(), |(byte, _)| byte);
        self.lines[at.line - 1] + column
    }

    fn range(&self, of: &impl Spanned) -> Range {
        [of.span().start(), of.span().end()].map(|at| self.offset(at))
    }

    fn take(&mut self, genre: &str, span: Span) -> Vec<Mistake> {
        let start = span.start();
        self.wanted
            .remove(&(genre.to_owned(), [start.line, start.column + 1]))
            .unwrap_or_default()
    }

    fn add(&mut self, range: Range, kind: Kind, mistakes: Vec<Mistake>) {
        if !mistakes.is_empty() {
            self.sites.push(Site {
                range,
                kind,
                mistakes,
            });
        }
    }

    fn function(&mut self, attributes: &[Attribute], signature: &Signature, body: &Block) {
        if for_gpus(attributes) || signature.constness.is_some() {
            return;
        }
        if let Some(first) = body.stmts.first() {
            let mistakes = self.take("FnValue", first.span());
            let begin = self.offset(body.brace_token.span.open().end());
            self.add([begin, begin], Kind::Body, mistakes);
        }
        self.visit_block(body);
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_const(&mut self, _: &'ast ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast TraitItemConst) {}
    fn visit_type_array(&mut self, _: &'ast TypeArray) {}
    fn visit_expr_const(&mut self, _: &'ast ExprConst) {}
    fn visit_generic_argument(&mut self, _: &'ast GenericArgument) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}

    fn visit_expr_repeat(&mut self, repeat: &'ast ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let tests = module
            .attrs
            .iter()
            .any(|attribute| condition(attribute) == "test");
        if !tests && !for_gpus(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if !for_gpus(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(&function.attrs, &function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.function(&function.attrs, &function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.function(&function.attrs, &function.sig, body);
        }
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        use BinOp::*;
        let [left, operator, right] = [
            self.range(&binary.left),
            self.range(&binary.op),
            self.range(&binary.right),
        ];
        let parts = [left, operator, right];
        let kind = match binary.op {
            And(_) => Kind::Logic([left, right], true),
            Or(_) => Kind::Logic([left, right], false),
            Eq(_) | Ne(_) | Lt(_) | Le(_) | Gt(_) | Ge(_) => Kind::Comparison(parts),
            Add(_) | Sub(_) | Mul(_) | Div(_) | Rem(_) | BitXor(_) | BitAnd(_) | BitOr(_)
            | Shl(_) | Shr(_) => Kind::Arithmetic(parts),
            _ => Kind::Assignment(parts),
        };
        if !has_let(&binary.left) && !has_let(&binary.right) {
            let mistakes = self.take("BinaryOperator", binary.op.span());
            self.add([left[0], right[1]], kind, mistakes);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        let parts = [self.range(&unary.op), self.range(&unary.expr)];
        let mistakes = self.take("UnaryOperator", unary.op.span());
        self.add([parts[0][0], parts[1][1]], Kind::Unary(parts), mistakes);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let mut left_out = self.take("MatchArm", arm.span());
        match &arm.guard {
            None => {
                let [_, end] = self.range(&arm.pat);
                self.add([end, end], Kind::Arm(None), left_out);
            }
            Some((_, guard)) => {
                let range = self.range(guard);
                let replaced = self.take("MatchArmGuard", guard.span());
                if left_out.is_empty() {
                    self.add(range, Kind::Guard, replaced);
                } else {
                    left_out.extend(replaced);
                    self.add(range, Kind::Arm(Some(range)), left_out);
                }
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, made: &'ast ExprStruct) {
        for field in &made.fields {
            let (Some(rest), Member::Named(name)) = (&made.rest, &field.member) else {
                continue;
            };
            let [base, path] =
                [self.range(rest), self.range(&made.path)].map(|[a, b]| &self.text[a..b]);
            let base = match base {
                "Default::default()" => format!("<{path} as Default>::default()"),
                base => base.to_owned(),
            };
            let kind = Kind::Field {
                name: name.to_string(),
                written: field.colon_token.is_some(),
                base,
            };
            let mistakes = self.take("StructField", field.span());
            self.add(self.range(&field.expr), kind, mistakes);
        }
        visit::visit_expr_struct(self, made);
    }
}

/// A condition that declares a variable cannot be an operand.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// The condition of `#[cfg(…)]` without spaces; empty for other attributes.
fn condition(attribute: &Attribute) -> String {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string().replace(' ', ""),
        _ => String::new(),
    }
}

fn for_gpus(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().map(condition);
    conditions
        .into_iter()
        .any(|of| of.contains("gpu") && !of.contains("not("))
}
