/**
 * What the scripted provider answers, as far as the tests rely on it.
 */

const SENTENCE = ['The', ' quick', ' brown', ' fox', ' jumps', ' over', ' the', ' lazy', ' dog.'];

/** The text of `slow` (one chunk every 200 ms) and `fake-model` in so many chunks. */
export function fixedText(chunks) {
	return Array.from({ length: chunks }, (_, index) => (index > 0 && index % 9 === 0 ? ' The' : SENTENCE[index % 9])).join('');
}

/** What it calls every chat. */
export const TITLE = 'A fixed title';

/** The follow-up messages that it suggests. */
export const FOLLOW_UPS = ['What comes first?', 'What comes next?', 'What comes last?'];

/** The message of `error-500`. */
export const FAILURE = 'The scripted provider failed.';
