//! A Rust source file with its code told apart from its comments and literals.
//!
//! The rules look for words; a word in a string or in a comment is not code. This is a lexer for
//! exactly that question. It is not a parser: it knows nothing of items or expressions.

/// The text of a file twice: as code only, and as its comments.
pub struct RustText {
    /// The file with the inside of every comment and literal replaced by spaces. Lines stay lines,
    /// so that an offset gives the same line number as in the original.
    pub code: String,
    /// Line number (from 1) and text of every comment line, with its slashes.
    pub comments: Vec<(usize, String)>,
}

impl RustText {
    pub fn new(text: &str) -> RustText {
        let mut lexer = Lexer { rest: text, line: 1, code: String::new(), comments: Vec::new() };
        while lexer.step() {}
        RustText { code: lexer.code, comments: lexer.comments }
    }

    /// The line (from 1) of a byte offset in `code`.
    pub fn line_at(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Where `word` stands in the code as a word of its own; `word` may hold `::` and end in `!` or `(`.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let closed = word.ends_with(|it: char| !is_word(it));
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && (closed || !after.is_some_and(is_word))
        })
    }
}

fn is_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    code: String,
    comments: Vec<(usize, String)>,
}

impl Lexer<'_> {
    /// Takes one comment, literal or character; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        let in_word = self.code.chars().next_back().is_some_and(is_word);
        if self.rest.starts_with("//") {
            let length = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take_comment(length);
        } else if self.rest.starts_with("/*") {
            self.take_comment(block_comment_length(self.rest));
        } else if let Some(length) = raw_string_length(self.rest).filter(|_| !in_word) {
            self.take_blank(length);
        } else if first == '"' {
            self.take_blank(quoted_length(self.rest, '"'));
        } else if first == '\'' && is_char_literal(self.rest) {
            self.take_blank(quoted_length(self.rest, '\''));
        } else {
            self.line += usize::from(first == '\n');
            self.code.push(first);
            self.rest = &self.rest[first.len_utf8()..];
        }
        true
    }

    fn take_comment(&mut self, length: usize) {
        let lines = self.rest[..length].split('\n').enumerate();
        self.comments.extend(lines.map(|(at, it)| (self.line + at, it.trim().to_owned())));
        self.take_blank(length);
    }

    fn take_blank(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        self.code.extend(taken.chars().map(|it| if it == '\n' { '\n' } else { ' ' }));
    }
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a literal that begins with `quote`, both quotes included.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, it) in text.char_indices().skip(1) {
        match it {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if it == quote => return at + it.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"..."`, `br#"..."#` and their kin, if `text` begins with one.
fn raw_string_length(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|it| text.starts_with(it))?;
    let hashes = text[prefix.len()..].chars().take_while(|&it| it == '#').count();
    let body = prefix.len() + hashes;
    if !text[body..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let close = text[body + 1..].find(&end).map_or(text.len(), |it| body + 1 + it + end.len());
    Some(close)
}

/// Tells `'a'` and `'\n'` from the lifetime `'a`.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        RustText::new(text).code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn literals_and_comments_are_not_code() {
        assert_eq!(code("let a = \"x // \\\" y\"; // b\nlet c;"), "let a = ; let c;");
        assert_eq!(
            code("f(r#\"a \" b\"#, 'x', '\\'', b\"z\") /* a /* b */ c */ g"),
            "f( , , , b ) g"
        );
        assert_eq!(code("fn f<'a>(it: &'a str) {}"), "fn f<'a>(it: &'a str) {}");
        assert_eq!(code("let for_r = bar; \"unclosed"), "let for_r = bar;");
    }

    #[test]
    fn comments_keep_their_line() {
        let it = RustText::new("a\n// one\nb /* two\nthree */\n\"\n\" // four");
        let lines: Vec<_> = it.comments.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(lines, [(2, "// one"), (3, "/* two"), (4, "three */"), (6, "// four")]);
    }

    #[test]
    fn a_word_stands_alone() {
        let it = RustText::new("unsafe_code unsafe { print!() eprint!() }");
        assert_eq!(it.words("unsafe").collect::<Vec<_>>(), [12]);
        assert_eq!(it.words("print!").count(), 1);
        assert_eq!(it.line_at(12), 1);
    }
}
