"""A tiny project in each language that functions are read from, apart from Python."""

JAVASCRIPT = """\
import { trim } from './text.js';

/**
 * Joins what is not empty.
 */
export function joinWords(words, limitless) {
  const kept = [];
  for (const word of words) {
    if (word != '' && trim(word)) {
      kept.push(word);
    }
  }
  return kept.join(' ');
}

export const average = (numbers) => {
  let total = 0;
  for (const number of numbers) {
    total += number;
  }
  if (numbers.length > 100) {
    return Math.round(total / numbers.length);
  }
  return total / numbers.length;
};

export class Tally {
  constructor() {
    this.counts = new Map();
  }

  add(name, amount) {
    const before = this.counts.get(name) ?? 0;
    if (amount == 0) {
      return before;
    }
    this.counts.set(name, before + amount);
    return before + amount;
  }

  async report(write) {
    const lines = [];
    for (const [name, count] of this.counts) {
      lines.push(joinWords([name, String(count)]));
    }
    await write(lines.join('\\n'));
  }
}
"""

TYPESCRIPT = """\
export interface Entry {
  name: string;
  size: number;
}

/** The largest entries, the largest first. */
export function largest(entries: Entry[], most: number): Entry[] {
  const sorted = [...entries];
  sorted.sort((a, b) => b.size - a.size);
  return sorted.slice(0, most);
}

export class Cache<T> {
  private kept: Map<string, T> = new Map();

  async fetch(name: string, load: (name: string) => Promise<T>): Promise<T> {
    const known = this.kept.get(name);
    if (known !== undefined) {
      return known;
    }
    const value = await load(name);
    if (this.kept.size > 500) {
      this.kept.clear();
    }
    this.kept.set(name, value);
    return value;
  }

  drop(prefix: string): number {
    let dropped = 0;
    for (const name of [...this.kept.keys()]) {
      if (name.startsWith(prefix)) {
        this.kept.delete(name);
        dropped += 1;
      }
    }
    return dropped;
  }
}
"""

GO = """\
package queue

import "errors"

// Queue holds what waits.
type Queue struct {
	items []string
	most  int
}

// Push appends an item.
func (q *Queue) Push(item string) error {
	if len(q.items) >= q.most {
		return errors.New("full")
	}
	if len(item) > 256 {
		return errors.New("too long")
	}
	q.items = append(q.items, item)
	return nil
}

func (q *Queue) Pop() (string, bool) {
	if len(q.items) == 0 {
		return "", false
	}
	item := q.items[0]
	q.items = q.items[1:]
	return item, true
}

// Drain empties a queue.
func Drain(q *Queue, each func(string)) int {
	count := 0
	for {
		item, ok := q.Pop()
		if !ok {
			return count
		}
		each(item)
		count++
	}
}
"""

RUST = """\
use std::collections::HashMap;

/// Counts words.
pub fn count_words(text: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in text.split_whitespace() {
        if word.len() > 40 {
            continue;
        }
        *counts.entry(word.to_string()).or_insert(0) += 1;
    }
    counts
}

pub struct Ring {
    slots: Vec<i64>,
    next: usize,
}

impl Ring {
    pub fn push(&mut self, value: i64) -> i64 {
        let old = self.slots[self.next];
        self.slots[self.next] = value;
        self.next = (self.next + 1) % self.slots.len();
        old
    }

    pub fn largest(&self) -> i64 {
        let mut sorted = self.slots.clone();
        sorted.sort();
        let last = sorted.last().unwrap();
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let counts = count_words("a b a");
        let expected = 2;
        assert_eq!(counts["a"], expected);
    }
}
"""

JAVA = """\
package org.example;

import java.util.ArrayList;
import java.util.List;

/** Rules on names. */
public class Names {
    private final List<String> known = new ArrayList<>();

    /** Whether a name may be used. */
    public boolean allows(String name) {
        if (name.equals("root")) {
            return false;
        }
        if (name.length() > 64) {
            return false;
        }
        return !known.contains(name);
    }

    public int register(List<String> names) {
        int added = 0;
        for (String name : names) {
            if (allows(name)) {
                known.add(name);
                added += 1;
            }
        }
        return added;
    }

    static class Printer {
        String print(Names names) {
            StringBuilder text = new StringBuilder();
            for (String name : names.known) {
                text.append(name).append('\\n');
            }
            return text.toString();
        }
    }
}
"""

PROJECTS: dict[str, tuple[dict[str, str], set[str]]] = {
    "javascript": (
        {"src/words.js": JAVASCRIPT, "src/words.test.js": JAVASCRIPT, "node_modules/x/index.js": JAVASCRIPT},
        {"joinWords", "average", "Tally.add", "Tally.report"},
    ),
    "typescript": (
        {"src/cache.ts": TYPESCRIPT, "src/cache.d.ts": TYPESCRIPT, "test/cache.ts": TYPESCRIPT},
        {"largest", "Cache.fetch", "Cache.drop"},
    ),
    "go": (
        {"queue/queue.go": GO, "queue/queue_test.go": GO, "queue/queue.pb.go": GO},
        {"Queue.Push", "Queue.Pop", "Drain"},
    ),
    "rust": (
        {"src/lib.rs": RUST, "tests/whole.rs": RUST, "target/debug/build.rs": RUST},
        {"count_words", "Ring.push", "Ring.largest"},
    ),
    "java": (
        {
            "src/main/java/org/example/Names.java": JAVA,
            "src/test/java/org/example/NamesTest.java": JAVA,
            "build/generated/Names.java": JAVA,
        },
        {"Names.allows", "Names.register", "Names.Printer.print"},
    ),
}
"""Language → its files, and the names of the functions that can be sampled."""
