<?php
// A receiver of usher's callback with nothing but PHP (8.1 or newer, with its SQLite driver):
//   HOOK_SECRET=whsec_… php -S 127.0.0.1:3000 receiver.php
declare(strict_types=1);
ini_set('display_errors', '0'); // With it on, PHP answers 200 to what failed.

// The newest and, while it is being replaced, the one before it.
$keys = array_map(fn ($one) => base64_decode(preg_replace('/^whsec_/', '', $one)), preg_split('/\s+/', getenv('HOOK_SECRET')));

// [verify]
function authentic(array $keys, string $event, string $sent, string $signatures, string $body): bool
{
    if ($event === '' || !preg_match('/^[0-9]{1,12}$/D', $sent) || abs(time() - (int) $sent) > 300) {
        return false;
    }
    foreach ($keys as $key) {
        $wanted = 'v1,' . base64_encode(hash_hmac('sha256', "$event.$sent.$body", $key, true));
        foreach (explode(' ', $signatures) as $given) {
            if (hash_equals($wanted, $given)) {
                return true;
            }
        }
    }
    return false;
}
// [/verify]

// [decide]
function decide(PDO $db, string $kind, array $user): array
{
    $ask = function (string $sql, array $values = []) use ($db) {
        $statement = $db->prepare($sql);
        $statement->execute($values);
        return $statement->fetch(PDO::FETCH_NUM);
    };
    if ($kind === 'user.deleted') {
        $ask('DELETE FROM account WHERE user = ?', [$user['id']]);
        return [200, []];
    }
    if (!in_array($kind, ['user.created', 'user.updated', 'user.deactivated', 'user.reactivated'], true)) {
        return [200, []];
    }
    $known = $ask('SELECT active FROM account WHERE user = ?', [$user['id']]);
    if ($user['active'] && !($known && $known[0])) {
        if (str_ends_with($user['email'] ?? '', '@blocked.example')) {
            return [403, ['reason' => 'blocked_domain', 'user_message' => "Use your company's e-mail address."]];
        }
        if ($ask('SELECT count(*) FROM account WHERE active')[0] >= (int) (getenv('SEATS') ?: 100)) {
            return [403, ['reason' => 'no_seat', 'user_message' => 'All seats are taken. Ask Ann for one.']];
        }
    }
    $ask($known ? 'UPDATE account SET email = ?, name = ?, roles = ?, active = ? WHERE user = ?'
        : 'INSERT INTO account (email, name, roles, active, user) VALUES (?, ?, ?, ?, ?)',
        [$user['email'], $user['name'], implode(',', $user['roles']), (int) $user['active'], $user['id']]);
    [$account] = $ask('SELECT id FROM account WHERE user = ?', [$user['id']]);
    return [$known ? 200 : 201, ['account' => (string) $account]];
}
// [/decide]

// [once]
function answer(PDO $db, string $event, string $body): array
{
    $db->exec('BEGIN IMMEDIATE'); // The account and the answer are kept together, or neither is.
    $before = $db->prepare('SELECT status, answer FROM answer WHERE event = ?');
    $before->execute([$event]);
    if ($row = $before->fetch(PDO::FETCH_NUM)) {
        return [(int) $row[0], json_decode($row[1], true)];
    }
    $told = json_decode($body, true, 32, JSON_THROW_ON_ERROR);
    [$status, $said] = decide($db, $told['type'], $told['data']['user']);
    if ($status < 300) {
        $db->prepare('INSERT INTO answer (event, status, answer) VALUES (?, ?, ?)')->execute([$event, $status, json_encode($said)]);
    }
    $db->exec('COMMIT');
    return [$status, $said];
}
// [/once]

$body = file_get_contents('php://input', false, null, 0, 1 << 20);
[$event, $sent, $signatures] = array_map(fn ($name) => $_SERVER["HTTP_WEBHOOK_$name"] ?? '', ['ID', 'TIMESTAMP', 'SIGNATURE']);
if ($_SERVER['REQUEST_URI'] !== '/internal/users') {
    [$status, $said] = [404, []];
} elseif ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    [$status, $said] = [405, []];
} elseif (!authentic($keys, $event, $sent, $signatures, $body)) {
    [$status, $said] = [401, []];
} else {
    $db = new PDO('sqlite:' . (getenv('STORE') ?: 'accounts.db'), options: [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 5]);
    $db->exec('CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT UNIQUE, email TEXT, name TEXT, roles TEXT, active INTEGER)');
    $db->exec('CREATE TABLE IF NOT EXISTS answer (event TEXT PRIMARY KEY, status INTEGER, answer TEXT)');
    [$status, $said] = answer($db, $event, $body);
}
http_response_code($status);
header('content-type: application/json');
echo json_encode((object) $said);
