"""One file a step; a new one follows the last, and `graphflow.database.HEAD` names it."""
