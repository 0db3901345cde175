//! What a real kernel has answered, as a file: operations and answers, line by line. Of a tree only what has changed since
//! the last one is told.

use crate::operation::{Answer, Operation, Tree};
use adjunct_simulator::KernelProfile;

/// A sequence and its answers.
pub(crate) struct Record {
    pub(crate) kernel: KernelProfile,
    pub(crate) steps: Vec<(Operation, Answer)>,
}

impl Record {
    /// Reads a file. Lines that begin with `#` are for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')).peekable();
        let first = lines.next().and_then(|(_, line)| line.strip_prefix("kernel ")?.parse().ok());
        let kernel = first.ok_or("the first line is not `kernel VERSION`")?;
        let (mut steps, mut tree) = (Vec::new(), Tree::new());
        while let Some((number, line)) = lines.next() {
            let wrong = || format!("line {}: {line}", number + 1);
            let (operation, rest) = Operation::parse(line).ok_or_else(wrong)?;
            let answer = match operation {
                Operation::Tree => {
                    while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with(['+', '-'])) {
                        change(&mut tree, line).ok_or_else(wrong)?;
                    }
                    Answer::Tree(tree.clone())
                }
                _ => Answer::parse(rest.strip_prefix(" = ").ok_or_else(wrong)?).ok_or_else(wrong)?,
            };
            steps.push((operation, answer));
        }
        Ok(Self { kernel, steps })
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("kernel {}\n", self.kernel);
        let mut last = Tree::new();
        for (operation, answer) in &self.steps {
            let Answer::Tree(tree) = answer else {
                text += &format!("{operation} = {answer}\n");
                continue;
            };
            text += "tree\n";
            text.extend(
                last.keys().filter(|path| !tree.contains_key(*path)).map(|path| format!("- {path}\n")),
            );
            let changed = tree.iter().filter(|(path, answer)| last.get(*path) != Some(answer));
            text.extend(changed.map(|(path, answer)| format!("+ {path} = {answer}\n")));
            last = tree.clone();
        }
        text
    }
}

fn change(tree: &mut Tree, line: &str) -> Option<()> {
    if let Some(path) = line.strip_prefix("- ") {
        return tree.remove(path).map(drop);
    }
    let (path, answer) = line.strip_prefix("+ ")?.split_once(" = ")?;
    tree.insert(path.to_owned(), Answer::parse(answer)?);
    Some(())
}
