//! What is wrong with a text that is not YAML, said to someone who has not read the standard.

use serde_saphyr::granit_parser::ErrorKind;

const QUOTE: &str = "put quotes around a text that holds `: `, ` #` or any of `{ } [ ] , & * ! | > % @`";

const INDENT: &str = "check the indentation of this line and of the one above, and for a missing colon";

/// What is wrong, and what to do about it (empty: nothing to add).
pub(crate) fn explain(kind: &ErrorKind) -> (String, String) {
    use ErrorKind as K;
    let (what, hint) = match kind {
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabAtBlockScalarStart
        | K::TabInPlainScalar => ("there is a tab where YAML allows only spaces", "indent with spaces"),
        K::UnclosedQuotedScalar => ("a quote is never closed", ""),
        K::MappingValueNotAllowed | K::InvalidColonPlacement | K::MappingKeyNotAllowed => {
            ("a `key: value` cannot start here", "check the indentation; a text that holds `: ` needs quotes")
        }
        K::SimpleKeyExpected | K::InvalidSimpleKey | K::ExpectedBlockMappingKey => {
            ("this is neither `key: value` nor an item of a list", INDENT)
        }
        K::ExpectedBlockSequenceEntry => ("a list goes on with something other than `- `", INDENT),
        K::BlockSequenceEntryNotAllowed | K::BlockEntryInFlowCollection => {
            ("an item `- ` cannot start here", "write a list either on lines of its own or as [ a, b ]")
        }
        K::ExpectedDocumentStart => ("this does not belong to what is above it", INDENT),
        K::InvalidIndentation | K::InvalidFlowScalarIndent | K::InvalidQuotedScalarIndent => {
            ("the indentation fits nothing above", INDENT)
        }
        K::UnexpectedCharacter { character: '\0' } => ("there is a NUL character", ""),
        K::UnexpectedCharacter { character } => {
            return (format!("a text cannot start with `{}`", character.escape_default()), QUOTE.into());
        }
        K::ExpectedNodeContent => {
            ("a value is missing here, or starts with a character that needs quotes", QUOTE)
        }
        K::InvalidTrailingDoubleQuotedScalar | K::InvalidTrailingSingleQuotedScalar => {
            ("there is text after a closing quote", "put all of it into one pair of quotes")
        }
        K::UnknownQuotedScalarEscape => {
            ("unknown escape in double quotes", "in single quotes a `\\` stands for itself: '\\d+'")
        }
        K::RecursionLimitExceeded => ("lists and mappings are nested too deep", ""),
        other => return bracket(other),
    };
    (what.into(), hint.into())
}

/// The same for brackets, and for what is too rare for words of its own.
fn bracket(kind: &ErrorKind) -> (String, String) {
    use ErrorKind as K;
    let (what, hint) = match kind {
        K::UnexpectedEofFlowSequence => ("a `[` is never closed", ""),
        K::UnexpectedEofFlowMapping | K::UnexpectedEofImplicitFlowMapping => ("a `{` is never closed", ""),
        K::UnclosedFlowCollection { open } => {
            return (format!("this `{open}` is never closed"), String::new());
        }
        K::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("a `{open}` is closed by `{close}`"), String::new());
        }
        K::MisplacedFlowCollectionEnd => ("this bracket closes nothing", QUOTE),
        K::ExpectedFlowMappingSeparator => ("a `,` or `}` is missing before this", QUOTE),
        K::ExpectedFlowSequenceSeparator => ("a `,` or `]` is missing before this", QUOTE),
        other => return (format!("not YAML: {other}"), String::new()),
    };
    (what.into(), hint.into())
}
