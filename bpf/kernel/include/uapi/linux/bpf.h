/* Empty: bcc force-includes its own copy of it under another name. */
