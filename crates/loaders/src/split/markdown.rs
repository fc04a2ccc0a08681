//! Sections of a Markdown text. Lines lose what is around them; headings stay in the text. Inside code fences nothing
//! is a heading.

/// Headings above a line, outermost first: level and text.
type Headings = Vec<(usize, String)>;

struct Block {
    text: String,
    headings: Headings,
}

/// The sections. A heading without text of its own is put before the first section under it.
pub(super) fn sections(text: &str) -> Vec<String> {
    let mut sections: Vec<Block> = Vec::new();
    for block in blocks(text) {
        match sections.last_mut() {
            Some(last) if last.headings == block.headings => append(last, &block.text),
            Some(last) if last.headings.len() < block.headings.len() && ends_in_heading(&last.text) => {
                append(last, &block.text);
                last.headings = block.headings;
            }
            _ => sections.push(block),
        }
    }
    sections.into_iter().map(|section| section.text).collect()
}

fn append(block: &mut Block, text: &str) {
    // Two blanks before the line end: a line break in Markdown.
    block.text.push_str("  \n");
    block.text.push_str(text);
}

fn ends_in_heading(text: &str) -> bool {
    text.rsplit('\n').next().is_some_and(|line| line.starts_with('#'))
}

/// Level of a heading line; none for other lines.
fn level(line: &str) -> Option<usize> {
    let marks = line.chars().take_while(|c| *c == '#').count();
    let rest = &line[marks..];
    ((1..=6).contains(&marks) && (rest.is_empty() || rest.starts_with(' '))).then_some(marks)
}

/// Characters without a shape of their own; the blank has one.
fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}'))
}

/// Runs of lines between blank lines and before headings.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    // Headings above the lines read so far, and above the line before the present one.
    let mut headings: Headings = Vec::new();
    let mut above: Headings = Vec::new();
    let mut fence: Option<&str> = None;
    for line in text.split('\n') {
        let line: String = line.trim().chars().filter(|c| is_printable(*c)).collect();
        match fence {
            Some(mark) if line.starts_with(mark) => fence = None,
            Some(_) => {}
            None if line.starts_with("```") && line.matches("```").count() == 1 => fence = Some("```"),
            None if line.starts_with("~~~") => fence = Some("~~~"),
            None => {}
        }
        if fence.is_some() {
            lines.push(line);
            continue;
        }
        if let Some(level) = level(&line) {
            headings.retain(|(above, _)| *above < level);
            headings.push((level, line[level..].trim().to_owned()));
            finish(&mut blocks, &mut lines, &above);
            lines.push(line);
        } else if !line.is_empty() {
            lines.push(line);
        } else {
            finish(&mut blocks, &mut lines, &above);
        }
        above.clone_from(&headings);
    }
    finish(&mut blocks, &mut lines, &above);
    blocks
}

fn finish(blocks: &mut Vec<Block>, lines: &mut Vec<String>, headings: &Headings) {
    if !lines.is_empty() {
        blocks.push(Block {
            text: std::mem::take(lines).join("\n"),
            headings: headings.clone(),
        });
    }
}
