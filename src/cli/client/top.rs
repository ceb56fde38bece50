//! `margay top`: a live table of the routes in the terminal.

use super::arguments::TopCommand;
use super::columns::Columns;
use super::connection::AdminClient;
use super::error::ClientError;
use super::pages::{route_rows, uptime_text};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// What is shown.
#[derive(Default)]
struct TopView {
    title: String,
    columns: Columns,
    /// The last error; the table keeps its last values.
    error: Option<String>,
    /// The column that the rows are sorted by, and whether the largest is first.
    sort: usize,
    is_descending: bool,
    first_row: usize,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TopAction {
    None,
    Redraw,
    Quit,
}

/// Shows the table until the operator ends it.
pub fn run(command: &TopCommand) -> Result<(), ClientError> {
    if !io::stdout().is_terminal() || command.admin.json {
        let help = "`margay routes` prints the table once, `margay routes --json` as JSON";
        return Err(ClientError::Usage(format!("top needs a terminal on standard output; {help}")));
    }
    let client = AdminClient::new(&command.admin)?;
    // The first page is requested in front of the terminal's mode, so that errors stay visible.
    let mut view = TopView::default();
    view.update(&client)?;
    let mut terminal =
        ratatui::try_init().map_err(|error| ClientError::Usage(format!("no terminal: {error}")))?;
    let result = show(&mut terminal, &mut view, &client, Duration::from_secs_f64(command.interval));
    let restored = ratatui::try_restore();
    result.and(restored).map_err(|error| ClientError::Unreachable(format!("the terminal failed: {error}")))
}

fn show(
    terminal: &mut DefaultTerminal,
    view: &mut TopView,
    client: &AdminClient,
    interval: Duration,
) -> io::Result<()> {
    let mut next = Instant::now() + interval;
    loop {
        terminal.draw(|frame| view.draw(frame))?;
        let left = next.saturating_duration_since(Instant::now());
        if event::poll(left)? {
            match view.handle(&event::read()?) {
                TopAction::Quit => return Ok(()),
                TopAction::Redraw | TopAction::None => continue,
            }
        }
        view.error = view.update(client).err().map(|error| error.message());
        next = Instant::now() + interval;
    }
}

impl TopView {
    fn update(&mut self, client: &AdminClient) -> Result<(), ClientError> {
        let (status, routes) = (client.get("/v1/status")?.body, client.get("/v1/routes")?.body);
        let text = |pointer: &str| {
            status.pointer(pointer).map_or(String::new(), |value| super::columns::cell("", value))
        };
        self.title = format!(
            "margay {} at {}  up {}  configuration {}  {} connections",
            text("/version"),
            client.address(),
            uptime_text(&status),
            text("/config/id"),
            text("/connections/open"),
        );
        self.columns = Columns::new(&route_rows(&routes));
        self.sort_rows();
        Ok(())
    }

    fn sort_rows(&mut self) {
        let (column, is_descending) = (self.sort, self.is_descending);
        let key = |row: &Vec<String>| {
            let text = row.get(column).cloned().unwrap_or_default();
            (sort_number(&text), text)
        };
        self.columns.rows.sort_by(|a, b| {
            let ((a, a_text), (b, b_text)) = (key(a), key(b));
            let order = a.total_cmp(&b).then_with(|| a_text.cmp(&b_text));
            if is_descending { order.reverse() } else { order }
        });
    }

    fn handle(&mut self, event: &Event) -> TopAction {
        let Event::Key(key) = event else { return TopAction::Redraw };
        if key.kind != KeyEventKind::Press {
            return TopAction::None;
        }
        let last = self.columns.heads.len().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return TopAction::Quit,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return TopAction::Quit,
            KeyCode::Left => self.sort = self.sort.saturating_sub(1),
            KeyCode::Right => self.sort = (self.sort + 1).min(last),
            KeyCode::Char('r') => self.is_descending = !self.is_descending,
            KeyCode::Up => self.first_row = self.first_row.saturating_sub(1),
            KeyCode::Down => {
                self.first_row = (self.first_row + 1).min(self.columns.rows.len().saturating_sub(1));
            }
            _ => return TopAction::None,
        }
        self.sort_rows();
        TopAction::Redraw
    }

    fn draw(&self, frame: &mut Frame) {
        let [title, table, help] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
                .areas(frame.area());
        frame.render_widget(Paragraph::new(self.title.as_str()), title);
        frame.render_widget(self.table(), table);
        let keys = "q quit   ← → column   r reverse   ↑ ↓ scroll".to_owned();
        frame.render_widget(Paragraph::new(self.error.clone().unwrap_or(keys).replace('\n', " ")), help);
    }

    fn table(&self) -> Table<'_> {
        let width = |at: usize| {
            let cells =
                self.columns.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.chain([self.columns.heads[at].chars().count() + 1]).max().unwrap_or(1)
        };
        let head = |(at, head): (usize, &String)| {
            let arrow = if at != self.sort {
                ""
            } else if self.is_descending {
                "▼"
            } else {
                "▲"
            };
            let line = Line::from(format!("{}{arrow}", head.trim_start_matches('>')));
            Cell::from(if head.starts_with('>') { line.right_aligned() } else { line })
        };
        let row = |row: &Vec<String>| {
            let cell = |(at, text): (usize, &String)| {
                let line = Line::from(text.clone());
                Cell::from(if self.columns.heads[at].starts_with('>') { line.right_aligned() } else { line })
            };
            Row::new(row.iter().enumerate().map(cell).collect::<Vec<_>>())
        };
        let heads: Vec<Cell> = self.columns.heads.iter().enumerate().map(head).collect();
        let widths: Vec<Constraint> =
            (0..self.columns.heads.len()).map(|at| Constraint::Length(width(at) as u16)).collect();
        let rows: Vec<Row> = self.columns.rows.iter().skip(self.first_row).map(row).collect();
        Table::new(rows, widths)
            .header(Row::new(heads).style(Style::new().add_modifier(Modifier::REVERSED)))
            .column_spacing(2)
    }
}

/// The number at the start of a cell, in its base unit; texts are infinitely small.
fn sort_number(text: &str) -> f64 {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let factor = match &text[end..] {
        "ms" => 0.001,
        unit if unit.starts_with('m') => 60.0,
        unit if unit.starts_with('h') => 3600.0,
        unit if unit.starts_with('d') => 86_400.0,
        _ => 1.0,
    };
    text[..end].parse::<f64>().map_or(f64::NEG_INFINITY, |number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyEvent;
    use serde_json::json;

    fn view() -> TopView {
        let routes = [json!({ "name": "a", "rate": 2.0 }), json!({ "name": "b", "rate": 10.0 })];
        TopView { title: "margay".into(), columns: Columns::new(&routes), ..TopView::default() }
    }

    fn screen(view: &TopView, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn press(view: &mut TopView, code: KeyCode) -> TopAction {
        view.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    #[test]
    fn keys_sort_scroll_and_quit() {
        let mut view = view();
        press(&mut view, KeyCode::Right);
        press(&mut view, KeyCode::Char('r'));
        assert_eq!(view.columns.rows[0][0], "b");
        press(&mut view, KeyCode::Down);
        assert!(!screen(&view, 60, 6).contains("10.0"));
        assert_eq!(press(&mut view, KeyCode::Char('x')), TopAction::None);
        assert_eq!(press(&mut view, KeyCode::Char('q')), TopAction::Quit);
    }

    #[test]
    fn the_table_fits_any_size_of_the_terminal() {
        let view = view();
        assert!(screen(&view, 60, 10).contains("rate"));
        for (width, height) in [(1, 1), (5, 2), (200, 3)] {
            screen(&view, width, height);
        }
    }

    #[test]
    fn cells_with_units_are_sorted_by_their_value() {
        assert!(sort_number("900ms") < sort_number("1.2s") && sort_number("59s") < sort_number("1m 5s"));
        assert!(sort_number("text") < sort_number("0"));
    }
}
