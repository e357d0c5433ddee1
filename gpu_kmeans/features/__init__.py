"""From columns to rows: texts, the terms in them, and what these weigh."""
