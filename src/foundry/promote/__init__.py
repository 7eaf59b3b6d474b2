"""From a verdict to a champion, and back: sweep, promotion, reproduction, adopting and checking parts."""
